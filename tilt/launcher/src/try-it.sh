api=http://127.0.0.1:5000 email=ada-$$@example.com password="correct horse $$ battery"
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
json() { verb=$1 route=$2 body=$3; shift 3; curl -sS -X "$verb" "$api$route" -H 'content-type: application/json' -d "$body" "$@"; }
wait_for() { for _ in $(seq 50); do answer=$(curl -sS "$api$1" -H "$auth"); case $answer in *$2*) break ;; esac; sleep 0.1; done; echo "$answer"; }

json POST /v1/accounts:register "{\"email\": \"$email\", \"displayName\": \"Ada\"}"; echo
mail=$(./dev mail "$email" --token)
json POST /v1/accounts:completeRegistration "{\"token\": \"$mail\", \"password\": \"$password\"}"; echo

tokens=$(json POST /v1/sessions:login "{\"email\": \"$email\", \"password\": \"$password\"}")
auth="authorization: Bearer $(echo "$tokens" | field accessToken)"
refresh=$(echo "$tokens" | field refreshToken)
curl -sS "$api/v1/users/me" -H "$auth"; echo
wait_for /v1/users/me/activities LOGGED_IN

json PATCH /v1/users/me '{"bio": "Writes notes on engines."}' -H "$auth"; echo
wait_for /v1/users/me/activities PROFILE_UPDATED

tokens=$(json POST /v1/sessions:refresh "{\"refreshToken\": \"$refresh\"}")
auth="authorization: Bearer $(echo "$tokens" | field accessToken)"
json POST /v1/sessions:logout '{}' -H "$auth"; echo
wait_for /v1/users/me TOKEN_REVOKED
