"""`dts status` and `dts logs`."""

import asyncio
import contextlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from dts_core.cli.client_common import (
    Where,
    print_json,
    print_line,
    server_options,
)
from dts_core.plain.dashboard import dashboard
from dts_core.plain.glyphs import wants_ascii
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.clients import SyncAdminClient
    from dts_core.views import LogLine

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


@click.command()
@server_options
def status(where: Where) -> None:
    """The dashboard once: hosts, jobs, queues, alarms, the last jobs."""
    with where.client() as client:
        if where.as_json:
            print_json(client.status())
        else:
            print_dashboard(client)


def print_dashboard(client: "SyncAdminClient") -> None:
    """Fetch the dashboard and print it as text."""
    told, last = client.status(), client.jobs(limit=10).items
    print_line(dashboard(told, last, client.url, ascii_only=wants_ascii()).rstrip())


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with new records as they come.")
@click.option("--host", default="", help="Only of this host.")
@click.option("--job", default="", metavar="ID", help="Only of this job.")
@click.option("--function", default="", metavar="NS/NAME", help="Only of this function.")
@click.option(
    "--level",
    default="debug",
    type=click.Choice(list(LEVELS)),
    metavar="LEVEL",
    help="This or higher: debug, info, warning, error, critical.",
)
@click.option("--text", default="", help="Only with this text.")
@click.option(
    "-n", "--limit", default=50, type=click.IntRange(1, 2000), help="How many to begin with."
)
@server_options
def logs(where: Where, follow: bool, limit: int, level: str, **filters: Any) -> None:
    """Show log records, oldest first.

    \b
    Examples:
      dts logs -f --level warning
      dts logs --job ID -n 200
    """  # noqa: D301 - below \b click keeps the lines
    wanted = {**filters, "level": LEVELS[level]}
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_follow(where, limit, wanted))
        return
    with where.client() as client:
        page = client.logs(limit=limit, **wanted)
    if where.as_json:
        print_json(page)
    else:
        for line in page.items:
            print_line(format_line(line))


async def _follow(where: Where, limit: int, wanted: dict[str, Any]) -> None:
    import msgspec

    from dts_core.views import LogLine

    async with where.async_client() as client:
        page = await client.logs(limit=limit, **wanted)
        position = page.position
        _print_lines(where, page.items)
        async for event in client.stream(["logs"], **wanted):
            if event.topic == "logs":
                lines = msgspec.convert(event.data, list[LogLine])
            elif event.topic == "reset" or (event.topic == "_state" and event.data["connected"]):
                lines = (await client.logs(limit=2000, after=position, **wanted)).items
            else:
                continue
            fresh = [line for line in lines if line.seq > position]
            position = max([position, *(line.seq for line in fresh)])
            _print_lines(where, fresh)


def _print_lines(where: Where, lines: "list[LogLine]") -> None:
    import msgspec

    for line in lines:
        print_line(msgspec.json.encode(line).decode() if where.as_json else format_line(line))


def format_line(line: "LogLine") -> str:
    """One record as one printable line."""
    level = next(
        (name for name, number in reversed(LEVELS.items()) if line.level >= number), "debug"
    )
    local: datetime = line.at.astimezone()
    return f"{local:%H:%M:%S} {level:<8} {clean(line.host, 60)} {clean(line.source, 80)}: {clean(line.text)}"
