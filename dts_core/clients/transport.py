"""Sends requests over httpx and turns every failure into an ApiError; retries what is safe to repeat."""

import random
import ssl
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from dts_core.clients.describe import Request
from dts_core.errors import ApiError, ConfigError, InvalidInput, ServerUnreachable
from dts_core.text import clean
from dts_core.views import Problem

T = TypeVar("T")
TRIES = 4
"""How often a repeatable request is sent at most."""
BACKOFF_SECONDS = 0.2
WAITED_SECONDS = 2.0
"""A server that took so long to refuse has tried for us: who asked hears it rather than waits on."""
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_BUSY = frozenset({502, 503, 504})


def headers(request: Request[Any], token: str) -> dict[str, str]:
    """The headers of a request."""
    made = {"Accept": "application/json"}
    if token:
        made["Authorization"] = f"Bearer {token}"
    if request.body is not None:
        made["Content-Type"] = "application/json"
    if request.key:
        made["Idempotency-Key"] = request.key
    return made


def address(url: str) -> str:
    """A server's address as requests are based on it.

    Raises:
        ConfigError: It is none.
    """
    try:
        parsed = httpx.URL(url)
        usable = parsed.scheme in ("http", "https") and bool(parsed.host)
    except (httpx.InvalidURL, UnicodeError):
        usable = False
    if not usable:
        raise ConfigError(
            f"{clean(url, 200)!r} is no address of a server.",
            key="--url",
            advice="Write http(s)://HOST:PORT.",
        )
    return url.rstrip("/")


def build(
    http: httpx.Client | httpx.AsyncClient, request: Request[Any], token: str
) -> httpx.Request:
    """The httpx form of a request.

    Raises:
        InvalidInput: A path, parameter or header that no request can carry.
    """
    try:
        return http.build_request(
            request.method,
            request.path,
            params=dict(request.query),
            content=request.body,
            headers=headers(request, token),
            timeout=httpx.Timeout(request.timeout_seconds, connect=5.0),
        )
    except (httpx.InvalidURL, UnicodeEncodeError) as error:
        raise InvalidInput(
            f"no request can carry this: {clean(str(error), 200)}.",
            advice="Ids and keys are short and printable, text is UTF-8.",
        ) from error


def pause(tried: int) -> float:
    """Seconds before the next try: doubling, full jitter."""
    return float(BACKOFF_SECONDS * 2**tried * random.uniform(0.5, 1.0))


def may_retry(
    request: Request[Any], tried: int, failure: httpx.HTTPError | httpx.Response, waited: float
) -> bool:
    """Whether to send it again: it never left, or it does no harm twice and the failure may pass.

    Args:
        request: That failed.
        tried: How often before.
        failure: Of this try.
        waited: Seconds that this try took.
    """
    if tried + 1 >= TRIES:
        return False
    if isinstance(failure, _UNSENT):
        return True
    if isinstance(failure, httpx.Response):
        if waited > WAITED_SECONDS:
            return False
        return request.repeatable and failure.status_code in _BUSY
    return request.repeatable


def unreachable(base: str, error: httpx.HTTPError) -> ServerUnreachable:
    """The error for a request that got no answer."""
    what = (
        "did not answer in time"
        if isinstance(error, httpx.TimeoutException)
        else "cannot be reached"
    )
    return ServerUnreachable(
        f"the server at {clean(base, 200)} {what}.",
        advice="Is it running? `dts up` starts one here.",
    )


def conclude(request: Request[T], outcome: httpx.HTTPError | httpx.Response, base: str) -> T:
    """The answer of a response, or the error that the last try stands for."""
    if isinstance(outcome, httpx.Response):
        return read(request, outcome)
    raise unreachable(base, outcome) from outcome


def trust(authorities: str) -> ssl.SSLContext | bool:
    """What httpx verifies certificates with: the system's authorities, and those in a file where one is given.

    A certificate in the file is trusted itself too, so that a self-signed one needs no authority.

    Raises:
        ConfigError: The file cannot be read, or holds no certificate.
    """
    if not authorities:
        return True
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=str(Path(authorities).expanduser()))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError("no certificates can be read from it.", file=authorities) from error
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context


def read(request: Request[T], response: httpx.Response) -> T:
    """Decode an answer.

    Raises:
        ApiError: The server refused, or answered with something else than was asked for.
    """
    if response.status_code >= 400:
        raise problem(response)
    content = b"null" if request.answer is type(None) else response.content
    try:
        return msgspec.json.decode(content, type=request.answer)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ApiError(
            f"the answer to {request.method} {request.path} is not what was asked for: {clean(str(error), 200)}",
            answer_status=response.status_code,
            advice="Is this address a dts server, and of a version that fits?",
        ) from error


def problem(response: httpx.Response) -> ApiError:
    """The error that a refusal stands for; all its text is made printable."""
    try:
        told = msgspec.json.decode(response.content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = Problem(detail=f"the server answered {response.status_code}.")
    return ApiError(
        clean(told.detail or told.title or f"the server answered {response.status_code}.", 2000),
        answer_status=response.status_code,
        answer_code=clean(told.code, 60),
        fields={clean(name, 120): clean(reason, 500) for name, reason in told.fields.items()},
        advice=clean(told.advice, 500),
        told={
            name: value
            for name in ("current", "sent", "differ", "dependents")
            if (value := getattr(told, name)) is not msgspec.UNSET
        },
    )
