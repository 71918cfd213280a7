"""Errors to answers: application/problem+json (RFC 9457) for every refusal, with its request id."""

import logging
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from dts_core.api.context import request_id
from dts_core.errors import Conflict, DtsError, InvalidInput, Throttled
from dts_core.text import clean, one_line
from dts_core.views import Problem

PROBLEM: Final = "application/problem+json"
_CODES: Final = {
    404: ("not_found", "there is nothing at this path.", "See /schema for the paths."),
    405: ("method_not_allowed", "this path does not know that method.", "See /schema."),
    413: ("too_large", "the body is larger than this server takes.", "Send it in smaller parts."),
}
_ADVICE: Final = {
    400: "See /schema for what is taken.",
    403: "Ask an administrator.",
    404: "Check the id, and that you may see what it names.",
    409: "Read it again, then repeat the change.",
    413: "Send it in smaller parts.",
    422: "See /schema for what is taken.",
}
"""For errors that have none of their own."""
_log = logging.getLogger(__name__)


def _answer(
    request: Request[Any, Any, Any], problem: Problem, headers: dict[str, str] | None = None
) -> Response[bytes]:
    full = msgspec.structs.replace(
        problem,
        title=HTTPStatus(problem.status).phrase,
        request_id=request_id(request.scope),
        detail=one_line(problem.detail, 2000),
        advice=problem.advice or _ADVICE.get(problem.status, ""),
    )
    return Response(
        content=msgspec.json.encode(full),
        status_code=full.status,
        media_type=PROBLEM,
        headers=headers,
    )


def problem_of(error: DtsError, identity: str) -> Problem:
    """The whole problem of an error of ours, for an answer that no framework makes."""
    return Problem(
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=one_line(error.message, 2000),
        code=error.code,
        advice=clean(error.advice, 1000) or _ADVICE.get(error.status, ""),
        request_id=identity,
    )


def refuse(request: Request[Any, Any, Any], error: DtsError) -> Response[bytes]:
    """The answer of an error of ours."""
    headers: dict[str, str] = {}
    if isinstance(error, Throttled):
        headers["Retry-After"] = str(max(1, round(error.retry_after_seconds)))
    elif error.status == 503:
        headers["Retry-After"] = "1"
    elif error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status >= 500:
        _log.warning("request %s: %s", request_id(request.scope), error)
    fields = error.fields if isinstance(error, InvalidInput) else {}
    problem = Problem(
        status=error.status,
        detail=error.message,
        code=error.code,
        advice=clean(error.advice, 1000),
        fields={clean(name, 120): clean(why, 500) for name, why in fields.items()},
        **(error.told if isinstance(error, Conflict) else {}),
    )
    return _answer(request, problem, headers)


def refuse_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """The answer of what the framework refuses: no such path, method, or too large a body."""
    status = error.status_code
    if status >= 500 and "disconnected" in str(error.detail):
        _log.debug("request %s: the client went away", request_id(request.scope))
    elif status >= 500:
        return fail(request, error)
    code, detail, advice = _CODES.get(status, ("refused", str(error.detail), ""))
    if isinstance(error.extra, dict):
        advice = str(error.extra.get("advice", advice))
    headers = {
        name: value
        for name, value in (error.headers or {}).items()
        if name.lower() in ("allow", "retry-after")
    }
    return _answer(
        request, Problem(status=status, detail=detail, code=code, advice=advice), headers
    )


def fail(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The answer of a defect: nothing of its inside, but the id under which the log tells it."""
    identity = request_id(request.scope)
    _log.error("request %s failed", identity, exc_info=error)
    problem = Problem(
        status=500,
        detail="the server met an unexpected error.",
        code="unexpected",
        advice=f"The server's log tells more of request {identity}.",
    )
    return _answer(request, problem)


EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = {
    DtsError: refuse,
    HTTPException: refuse_http,
    Exception: fail,
}
