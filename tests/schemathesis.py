"""Who makes the requests of Schemathesis. Some of them delete or lock whoever makes them: then the next account signs in."""

import json
import os
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import schemathesis

# [{"email", "password"}] of each kind.
ACCOUNTS = json.loads(os.environ["API_ACCOUNTS"])


def kind(case, context):
    return "admins" if context.operation.path.startswith("/v1/admin/") else "people"


@schemathesis.auth(cache_by_key=kind)
class FirstThatSignsIn:
    def get(self, case, context):
        accounts = ACCOUNTS[kind(case, context)]
        while accounts:
            login = Request(
                os.environ["API_URL"] + "/v1/sessions:login",
                json.dumps(accounts[0]).encode(),
                {"content-type": "application/json"},
            )
            try:
                with urlopen(login, timeout=30) as answer:
                    return json.load(answer)["tokens"]["accessToken"]
            except HTTPError as refused:
                if refused.code != 401:
                    raise
                accounts.pop(0)
        raise RuntimeError("no account is left that can sign in")

    def set(self, case, token, context):
        case.headers["authorization"] = f"Bearer {token}"
