"""What a shell on a host says beside its bytes: small JSON messages over the same WebSocket."""

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from dts_core.views.base import View

__all__ = [
    "ALIVE_SECONDS",
    "MESSAGE_MAX",
    "SILENCE_SECONDS",
    "Alive",
    "Exited",
    "FromClient",
    "FromServer",
    "Opened",
    "Refused",
    "Resize",
    "ShellQuery",
    "reason",
]

MESSAGE_MAX: Final = 64 << 10
"""Most bytes of one message, either way."""
ALIVE_SECONDS: Final = 5.0
"""Each side says so often that it is there, whatever else it says."""
SILENCE_SECONDS: Final = 20.0
"""Who is not heard for so long is gone."""
REASON_MAX: Final = 120
"""Bytes of the words that close a WebSocket (RFC 6455, 5.5: 125 with the code)."""
Size: TypeAlias = Annotated[int, Meta(ge=1, le=2000)]


class ShellQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """GET /ssh/shells/{id}: the terminal at hand."""

    term: Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")] = "xterm"
    columns: Size = 80
    rows: Size = 24


class Resize(View, frozen=True, tag="resize"):
    """From the client: its terminal has another size."""

    columns: Size
    rows: Size


class Alive(View, frozen=True, tag="alive"):
    """From either: it is there."""


class Opened(View, frozen=True, tag="open"):
    """From the server: what comes from here on is the host's."""

    host: str
    fingerprint: str
    """Of the key that it has proved."""


class Exited(View, frozen=True, tag="exit"):
    """From the server, the last: how the shell ended."""

    status: int | None
    signal: str = ""


class Refused(View, frozen=True, tag="error"):
    """From the server, the last: why there is no shell, or none any more."""

    detail: str
    advice: str = ""
    code: str = ""


FromClient: TypeAlias = Resize | Alive
FromServer: TypeAlias = Opened | Alive | Exited | Refused


def reason(words: str) -> str:
    """Words that fit into the end of a WebSocket."""
    return words.encode()[:REASON_MAX].decode("utf-8", "ignore")
