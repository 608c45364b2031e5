#!/bin/sh
# The tests of docker-compose.test.yml, in a container beside the system of docker-compose.yml: everybody becomes ready; README.md's way through
# the system goes as it says; those who watch have seen it; and crates whose tests need engines pass on these.
set -eu

fail() {
  echo "$*" >&2
  exit 1
}

# within SECONDS WHAT COMMAND ...: until the command succeeds
within() {
  end=$(($(date +%s) + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$(date +%s)" -lt "$end" ] || fail "not in time: $what"
    sleep 1
  done
  echo "ok: $what"
}

# says URL TEXT
says() {
  curl -fs --max-time 5 "$1" | grep -qF "$2"
}

for admin in gateway:9100 auth:9101 user:9102 event-consumer:9103; do
  within 180 "$admin is ready" curl -fs --max-time 5 --output /dev/null "http://$admin/readyz"
done

# README.md's way, as somebody new, with a stand-in for `./dev mail EMAIL --token`.
folder=$(mktemp -d)
cat >"$folder/dev" <<'DEV'
#!/bin/sh
for _ in $(seq 100); do
  mail=$(grep -lr --include='*.eml' "^To: .*$2" /mail) && exec sed -n 's/^token: *\([^[:space:]]*\).*/\1/p' $mail
  sleep 0.1
done
exit 1
DEV
chmod +x "$folder/dev"
sed "s|http://127.0.0.1:5000|http://gateway:5000|; s|ada-[\$][\$]|ada-$(date +%s)|" tilt/launcher/src/try-it.sh >"$folder/try-it.sh"
(cd "$folder" && sh -eu try-it.sh) | tee "$folder/said"
for expected in '"email":"ada-' LOGGED_IN PROFILE_UPDATED 'Writes notes on engines.' TOKEN_REVOKED; do
  grep -qF "$expected" "$folder/said" || fail "README.md's way shows no $expected"
done
echo "ok: README.md's way"

# It is known to whoever watches.
within 60 "Prometheus scrapes all four, and the collector" says 'http://prometheus:9090/api/v1/query?query=sum(up)' ',"5"]'
# {resource.service.name="gateway"}. Tempo does not search what is younger than half a minute.
within 120 "Tempo has a trace of the gateway" says 'http://tempo:3200/api/search?q=%7Bresource.service.name%3D%22gateway%22%7D' traceID
for board in observability/grafana/dashboards/*.json; do
  uid=$(sed -n 's/^  "uid": "\(.*\)",\{0,1\}$/\1/p' "$board")
  within 60 "Grafana has the dashboard $uid" says "http://grafana:3000/api/dashboards/uid/$uid" "\"uid\":\"$uid\""
done

cargo test --locked --package auth --package user --package event-consumer --package chassis --package outbox --package inbox
