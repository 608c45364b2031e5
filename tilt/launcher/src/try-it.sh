api=http://127.0.0.1:5000 email=ada-$$@example.com password="correct horse $$ battery"
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
json() { method=$1 path=$2 body=$3; shift 3; curl -sS -X "$method" "$api$path" -H 'content-type: application/json' -d "$body" "$@"; }

json POST /v1/accounts:register "{\"email\": \"$email\", \"displayName\": \"Ada\"}"; echo
mail=$(./dev mail "$email" --token)
tokens=$(json POST /v1/accounts:completeRegistration "{\"token\": \"$mail\", \"password\": \"$password\"}")
tokens=$(json POST /v1/sessions:login "{\"email\": \"$email\", \"password\": \"$password\"}")
auth="authorization: Bearer $(echo "$tokens" | field accessToken)"
refresh=$(echo "$tokens" | field refreshToken)

curl -sS "$api/v1/users/me" -H "$auth"; echo
json PATCH /v1/users/me '{"bio": "Writes notes on engines."}' -H "$auth"; echo

# What happened reaches the list of activities through Kafka: within a moment.
for _ in $(seq 50); do
  activities=$(curl -sS "$api/v1/users/me/activities" -H "$auth")
  case $activities in *PROFILE_UPDATED*) break ;; esac
  sleep 0.1
done
echo "$activities"

tokens=$(json POST /v1/sessions:refresh "{\"refreshToken\": \"$refresh\"}")
auth="authorization: Bearer $(echo "$tokens" | field accessToken)"
json POST /v1/sessions:logout '{}' -H "$auth"; echo
sleep 1
curl -sS "$api/v1/users/me" -H "$auth"; echo
