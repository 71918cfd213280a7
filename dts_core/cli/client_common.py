"""What the client commands share: options that find the server, printing for people and for programs."""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dts_core.plain import glyphs, words
from dts_core.text import clean, clean_lines

if TYPE_CHECKING:
    from dts_core.clients import AdminClient, SyncAdminClient
    from dts_core.clients.endpoint import Endpoint

F = TypeVar("F", bound=Callable[..., Any])
TEXT_MAX = 1 << 26
"""Longest text that is printed, in characters."""


class Where:
    """Which server a command talks to, and in which form it prints."""

    def __init__(self, url: str, context: str, data: str, as_json: bool) -> None:
        self._url, self._context, self._data = url, context, data
        self.as_json = as_json

    def _endpoint(self) -> "Endpoint":
        from dts_core.clients.endpoint import find_endpoint

        return find_endpoint(url=self._url, context=self._context, data=self._data)

    def client(self) -> "SyncAdminClient":
        """A blocking client. Raises ConfigError when no server is known."""
        from dts_core.clients import SyncAdminClient

        found = self._endpoint()
        return SyncAdminClient(found.url, found.token, verify=found.ca)

    def async_client(self) -> "AdminClient":
        """A client on the loop. Raises ConfigError when no server is known."""
        from dts_core.clients import AdminClient

        found = self._endpoint()
        return AdminClient(found.url, found.token, verify=found.ca)


def server_options(command: F) -> F:
    """Add --url, --context, --data and --json; the command's first argument is a Where."""
    from functools import wraps

    @wraps(command)
    def run(url: str, context: str, data: str, as_json: bool, **given: Any) -> Any:
        return command(Where(url, context, data, as_json), **given)

    options = [
        click.option("--url", default="", metavar="URL", help="Address of the server (DTS_URL)."),
        click.option(
            "--context", default="", metavar="NAME", help="A server logged in to (DTS_CONTEXT)."
        ),
        click.option(
            "--data", default="", metavar="DIR", help="Data folder of a local `dts up` (DTS_DATA)."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ]
    decorated: Any = run
    for option in reversed(options):
        decorated = option(decorated)
    result: F = decorated
    return result


def print_json(value: Any) -> None:
    """Print a value as indented JSON on standard output."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    if sys.stdout.isatty():
        print_line(text)
    else:
        click.echo(text)


def print_line(text: str = "") -> None:
    """Print text, cleaned here too: what callers forgot never reaches a terminal."""
    click.echo(clean_lines(text, limit=TEXT_MAX, line_limit=TEXT_MAX))


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print aligned columns; every cell is made printable."""
    cells = [[clean(str(cell), 200) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[at]) for row in cells)]) for at, name in enumerate(header)]
    lines: list[list[str]] = [list(header), *[list(map(str, row)) for row in cells]]
    for line in lines:
        print_line(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        )


def age(instant: datetime | None) -> str:
    """How long ago, for people."""
    return words.since(instant, datetime.now(UTC))


def state_text(state: str) -> str:
    """A state with its glyph."""
    return f"{glyphs.job(state).glyph} {clean(state, 20)}"
