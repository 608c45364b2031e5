"""Who makes the requests of Schemathesis. Some of them delete or lock whoever makes them, or make them less than an administrator: then the next
account signs in."""

import json
import os
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import schemathesis

# [{"email", "password"}] of each kind.
ACCOUNTS = json.loads(os.environ["API_ACCOUNTS"])


def kind(case, context):
    return "admins" if context.operation.path.startswith("/v1/admin/") else "people"


def ask(path, headers, body=None):
    request = Request(os.environ["API_URL"] + path, body, headers)
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)


def sign_in(account, wanted):
    body = json.dumps(account).encode()
    tokens = ask("/v1/sessions:login", {"content-type": "application/json"}, body)["tokens"]
    token = "Bearer " + tokens["accessToken"]
    if wanted == "admins":
        ask("/v1/admin/accounts", {"authorization": token})
    return token


# Where a request is one of a row, only the age of a token has another one taken.
@schemathesis.auth(cache_by_key=kind, refresh_interval=5)
class FirstThatSignsIn:
    def get(self, case, context):
        wanted = kind(case, context)
        accounts = ACCOUNTS[wanted]
        while accounts:
            try:
                return sign_in(accounts[0], wanted)
            except HTTPError as refused:
                if refused.code not in (401, 403):
                    raise
                accounts.pop(0)
        raise RuntimeError(f"none of the {wanted} is left that can sign in")

    def set(self, case, token, context):
        case.headers["authorization"] = token
