-- Takes one from the budget of one client (GCRA). The clock is this server's, so those of gateways need not agree.
-- KEYS[1] has the time at which the budget is whole again, in microseconds since 1970, and is forgotten then.
-- ARGV: microseconds until one more is let through; how many are let through at once.
-- Answers how many are left; or, below 0, in how many microseconds the next one is let through.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = tonumber(ARGV[1])
local window = interval * tonumber(ARGV[2])
local whole = tonumber(redis.call('GET', KEYS[1])) or now
-- No budget lacks more than all of it, even where the clock went back, as it may when a replica takes over.
whole = math.min(math.max(whole, now), now + window) + interval
local lacks = whole - now
if lacks > window then
  return window - lacks
end
redis.call('SET', KEYS[1], string.format('%.0f', whole), 'PX', math.ceil(lacks / 1000))
return math.floor((window - lacks) / interval)
