-- Comes with PostgreSQL. It is trusted, so the owner of the database may make it.
create extension if not exists pg_trgm;

-- Finds people by what their names resemble. Those who change a profile wait while it is made, some seconds for a million profiles. Not
-- `concurrently`: that waits for every transaction, also for a replica that waits for this migration. Where there are more, it can be
-- made like that beforehand, and is there then. See docs/operating.md.
create index if not exists profiles_display_name_trigrams on profiles using gin (display_name gin_trgm_ops);
