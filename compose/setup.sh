#!/bin/sh
# What the processes of docker-compose.yml need before they start, as `./dev run setup` makes it for those of ./dev: a role and a database for
# each service, secrets, and a folder for mails. It is run at each start, and what is there stays as it is.
set -eu

secrets=${SECRETS:-/secrets} # a folder for each service, whose container gets that one alone
mail=${MAIL:-/mail}
owner=65532:65532 # who runs in our images

own() {
  [ "$(id -u)" != 0 ] || chown "$owner" "$1"
}

# put FILE VALUE: whole or not at all
put() {
  (umask 077 && printf %s "$2" >"$secrets/$1.new")
  own "$secrets/$1.new"
  mv "$secrets/$1.new" "$secrets/$1"
}

# key FILE GIVEN: 32 bytes in base64. What .env gives goes before what is kept, and that before a new one.
key() {
  if [ -n "$2" ]; then
    put "$1" "$2"
  elif [ ! -s "$secrets/$1" ]; then
    put "$1" "$(head -c 32 /dev/urandom | base64)"
  fi
}

ask() {
  psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 "$@"
}

# database SERVICE NAME GIVEN: a database that nobody else may open, unless .env gives one. Its password stays what it was.
database() {
  file=$1/database-url
  if [ -n "$3" ]; then
    put "$file" "$3"
    return
  fi
  password=
  if [ -f "$secrets/$file" ]; then
    password=$(sed -n "s|^postgres://$2:\([0-9a-f]*\)@postgres:5432/$2\$|\1|p" "$secrets/$file")
  fi
  [ -n "$password" ] || password=$(od -An -v -tx1 -N16 /dev/urandom | tr -d ' \n')
  ask --set=name="$2" --set=password="$password" <<'SQL'
select format('create role %I login', :'name') where not exists (select from pg_roles where rolname = :'name') \gexec
alter role :"name" password :'password';
select format('create database %I owner %I', :'name', :'name') where not exists (select from pg_database where datname = :'name') \gexec
revoke connect, temporary on database :"name" from public;
SQL
  put "$file" "postgres://$2:$password@postgres:5432/$2"
}

database auth auth "${AUTH_DATABASE_URL-}"
database user user "${USER_DATABASE_URL-}"
database event-consumer events "${EVENTS_DATABASE_URL-}"
ask --command='revoke connect on database postgres from public'

key auth/key-encryption-key "${GRIMOIRE_KEY_ENCRYPTION_KEY-}"
key auth/refresh-token-key "${GRIMOIRE_REFRESH_TOKEN_KEY-}"
key auth/mail-token-key "${GRIMOIRE_MAIL_TOKEN_KEY-}"
key auth/address-key "${GRIMOIRE_ADDRESS_KEY-}"

own "$mail"
