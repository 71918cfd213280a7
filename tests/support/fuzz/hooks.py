"""What schemathesis is told of this server; loaded by it, in its own environment (`.venv-fuzz`)."""

import json
import os
import urllib.request
from collections.abc import Callable
from typing import Any, Final, TypeVar

import schemathesis

DOOR: Final = os.environ["DTS_FUZZ_DOOR"]
"""Where a token that counts is to be had: a request may have ended the one before."""
WAIT_MAX: Final = 60.0
WAIT: Final = "0.05"
"""Long polls are asked for so long: their bounds are attacked, not the patience."""
ENDING: Final = ("/session", "/admin/users", "/admin/tokens")
"""Paths below which a write may end the token that asks."""


Function = TypeVar("Function", bound=Callable[..., None])
_hook: Callable[[Function], Function] = schemathesis.hook
_check: Callable[[Function], Function] = schemathesis.check


@schemathesis.auth(refresh_interval=None)
class Tokens:
    """Shows a token that counts."""

    def __init__(self) -> None:
        self.token = ""

    def get(self, case: Any, context: Any) -> str:
        del context
        if not self.token or Tokens.spent:
            with urllib.request.urlopen(DOOR, timeout=60) as answer:
                self.token = answer.read().decode()
            Tokens.spent = False
        if case.method.upper() != "GET" and case.path.startswith(ENDING):
            Tokens.spent = True
        return self.token

    def set(self, case: Any, data: str, context: Any) -> None:
        del context
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}

    spent = False


@_hook
def after_call(context: Any, case: Any, response: Any) -> None:
    del context, case
    if response.status_code == 401:
        Tokens.spent = True


@_hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    del context, kwargs
    wait: Any = (case.query or {}).get("wait")
    try:
        is_long = 0 < float(wait) <= WAIT_MAX
    except (TypeError, ValueError):
        return
    if is_long:
        case.query["wait"] = WAIT


@_check
def refusal_says_why(ctx: Any, response: Any, case: Any) -> None:
    """Every refusal is a problem with a reason, an advice and the request's id; one of content names the fields."""
    del ctx
    if response.status_code < 400 or (case.path == "/health/ready" and response.status_code == 503):
        return
    kind = response.headers.get("content-type", [""])[0]
    assert kind == "application/problem+json", f"{response.status_code} as {kind!r}"
    problem = json.loads(response.content)
    assert problem["status"] == response.status_code
    assert problem["detail"], problem
    assert problem["advice"], problem
    assert problem["request_id"] == response.headers["x-request-id"][0]
    assert response.status_code != 422 or problem["fields"], problem
