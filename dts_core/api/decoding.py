"""Requests to values: JSON bodies and query strings, with errors that say where."""

import re
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar, cast, get_args

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException

from dts_core.errors import CodecError, InvalidInput
from dts_core.services.mistakes import without_value
from dts_core.text import clean

T = TypeVar("T")
_AT: Final = re.compile(r"(?P<why>.*?)(?: - at `\$(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>.*)`", re.DOTALL)
_KEY: Final = re.compile(r"[!-~]{1,200}")


@lru_cache(maxsize=64)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode_body(request: Request[Any, Any, Any], body: bytes, kind: type[T]) -> T:
    """The value of a JSON body.

    Raises:
        HTTPException: 415, the content is declared as something else than JSON.
        CodecError: Not JSON; says at which byte.
        InvalidInput: JSON of another shape; `fields` names the place.
    """
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared not in ("application/json", ""):
        raise HTTPException(
            status_code=415,
            detail=f"the content {clean(declared, 80)} is not taken here.",
            extra={"advice": "Send JSON with Content-Type: application/json."},
        )
    return decode_json(body, kind)


def decode_json(body: bytes, kind: type[T]) -> T:
    """The value of JSON text. Raises as `decode_body`."""
    try:
        value: T = _decoder(cast("Any", kind)).decode(body)
    except msgspec.ValidationError as error:
        raise invalid("the request does not fit", str(error)) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        reason = "it is empty" if not body else clean(str(error), 200).rstrip(".")
        raise CodecError(
            f"the body is not JSON: {reason}.", advice="Check the JSON at that place."
        ) from error
    return value


def decode_query(request: ASGIConnection[Any, Any, Any, Any], kind: type[T]) -> T:
    """The query string as a value; numbers, switches and times are converted from their text.

    Raises:
        InvalidInput: An unknown parameter, or one of another type; `fields` names it.
    """
    given = dict(request.query_params)
    for name in _instants(cast("Any", kind)) & given.keys():
        _check_instant(name, given[name])
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid("the query does not fit", str(error)) from error


@lru_cache(maxsize=64)
def _instants(kind: Any) -> frozenset[str]:
    """Parameters that are points in time."""
    return frozenset(
        each.encode_name for each in msgspec.structs.fields(kind) if _holds_instant(each.type)
    )


def _holds_instant(kind: Any) -> bool:
    return kind is datetime or any(map(_holds_instant, get_args(kind)))


def _check_instant(name: str, text: str) -> None:
    """Let pass an instant as text: converted freely, a number would count as seconds since 1970."""
    try:
        msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise invalid("the query does not fit", f"{error} - at `$.{name}`") from error


def invalid(what: str, told: str) -> InvalidInput:
    """An InvalidInput from what msgspec says, its place as the field."""
    match = _AT.fullmatch(without_value(told))
    why, path = (match["why"], match["path"] or "") if match else (told, "")
    named = _UNKNOWN.fullmatch(why) or _MISSING.fullmatch(why)
    if named:
        why = "unknown field" if why.startswith("Object contains") else "required"
        path = f"{path}.{named['name']}"
    field = clean(path.lstrip("."), 120) or "body"
    why = clean(why, 300)
    return InvalidInput(
        f"{what}: {field}: {why}.",
        fields={field: why},
        advice="See /schema for what is taken.",
    )


def idempotency_key(request: Request[Any, Any, Any]) -> str:
    """The header Idempotency-Key; empty when there is none.

    Raises:
        InvalidInput: Longer than 200 characters, or not printable ASCII.
    """
    key = request.headers.get("idempotency-key", "")
    if key and not _KEY.fullmatch(key):
        raise InvalidInput(
            "the idempotency key must be 1 to 200 printable ASCII characters.",
            fields={"Idempotency-Key": "1 to 200 printable ASCII characters"},
        )
    return key
