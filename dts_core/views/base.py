"""The root of what the API answers with, and what every answer may be instead."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Base; unknown fields of a newer server are ignored."""


class Problem(View, frozen=True):
    """application/problem+json (RFC 9457)."""

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    code: str = ""
    advice: str = ""
    fields: dict[str, str] = {}
    request_id: str = ""
    current: dict[str, Any] | UnsetType = UNSET
    """Of a stale write: the document as it is now."""
    sent: dict[str, Any] | UnsetType = UNSET
    """Of a stale write: the fields that were sent, without secrets."""
    differ: list[str] | UnsetType = UNSET
    """Of a stale write: the fields in which the two differ."""
    dependents: list[dict[str, Any]] | UnsetType = UNSET
    """Of a refused removal: what depends on the document, by collection."""
