"""The command `dts-tui`. Loads Textual and httpx only when they are needed, so that `--help` is quick."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dts_core import __version__
from dts_core.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from dts_core.clients import AdminClient
    from dts_core.settings import TuiFile

AREAS = ("wall", "jobs", "functions", "hosts", "logs", "alarms", "queues")


class _Command(click.Command):
    """Tells wrong usage in one line, made printable, as `dts` does."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run, and exit with 0, 2 after wrong usage, 130 when interrupted."""
        run: Any = super().main  # its overloads tell modes apart that are one call here
        if not standalone_mode:
            return run(*args, standalone_mode=False, **extra)
        try:
            status = run(*args, standalone_mode=False, **extra)
        except click.Abort:
            sys.exit(130)
        except click.ClickException as error:
            told = clean(" ".join(error.format_message().split()), 2000)
            click.echo(f"dts-tui: {told} See `dts-tui --help`.", err=True)
            sys.exit(error.exit_code)
        sys.exit(status if isinstance(status, int) else 0)


@click.command(
    cls=_Command, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--url", default="", metavar="URL", help="Address of the server, http(s)://HOST:PORT."
)
@click.option("--context", default="", metavar="NAME", help="A server that `dts login` knows.")
@click.option(
    "--data", default="", metavar="DIR", help="Data folder of a `dts up` on this machine."
)
@click.option(
    "-c",
    "--config-file",
    default=None,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Instead of tui.toml.",
)
@click.option("-d", "--dev", is_flag=True, help="Lay the -dev tables of the file over the others.")
@click.option("--once", is_flag=True, help="Print the dashboard as text and leave.")
@click.option(
    "--snapshot",
    default=None,
    metavar="FILE.svg",
    type=click.Path(path_type=Path),
    help="Draw one screen into a file and leave.",
)
@click.option(
    "--size", default="120x36", metavar="WxH", help="Size of the snapshot, in characters."
)
@click.option("--read-only", is_flag=True, help="Change nothing on the server.")
@click.option("--area", default="", type=click.Choice(["", *AREAS]), help="What opens first.")
@click.version_option(__version__, prog_name="dts-tui")
def main(
    url: str, context: str, data: str, config_file: Path | None, dev: bool, once: bool,
    snapshot: Path | None, size: str, read_only: bool, area: str,
) -> None:  # fmt: skip
    """The console: hosts, jobs, functions, logs, alarms and queues of one server.

    Without --url, --context or --data (or DTS_URL, DTS_CONTEXT, DTS_DATA) it opens the embedded stack of this user.
    """
    from dts_core.errors import DtsError

    try:
        settings = _settings(config_file, dev)
        connect = _connector(url, context, data)
        name = context or url or "local"
        if once:
            _once(url, context, data, settings)
        elif snapshot is not None:
            asyncio.run(_snapshot(connect, settings, name, snapshot, _size(size), area))
        else:
            _run(connect, settings, name, read_only=read_only, area=area)
    except DtsError as error:
        click.echo(f"dts-tui: {clean(' '.join(str(error).split()), 2000)}", err=True)
        sys.exit(1)


def _settings(config_file: Path | None, dev: bool) -> "TuiFile":
    from dts_core.config import load_settings
    from dts_core.settings import TuiFile

    return load_settings(TuiFile, part="tui", config_file=config_file, dev=dev).settings


def _connector(url: str, context: str, data: str) -> "Callable[[], AdminClient]":
    """Finds the server anew at each call: after a restart it may have another port and token."""

    def connect() -> "AdminClient":
        from dts_core.clients import AdminClient
        from dts_core.clients.endpoint import find_endpoint

        endpoint = find_endpoint(url=url, context=context, data=data)
        return AdminClient(endpoint.url, endpoint.token, verify=endpoint.ca)

    return connect


def _once(url: str, context: str, data: str, settings: "TuiFile") -> None:
    from dts_core.clients import Client
    from dts_core.clients.endpoint import find_endpoint
    from dts_core.plain.dashboard import dashboard, fetch
    from dts_core.plain.glyphs import wants_ascii

    endpoint = find_endpoint(url=url, context=context, data=data)
    status, page = asyncio.run(fetch(Client(endpoint.url, endpoint.token, verify=endpoint.ca)))
    ascii_only = (
        settings.console.ascii or wants_ascii() or "utf" not in (sys.stdout.encoding or "").lower()
    )
    click.echo(dashboard(status, page.items, endpoint.url, ascii_only=ascii_only), nl=False)


def _run(
    connect: "Callable[[], AdminClient]",
    settings: "TuiFile",
    name: str,
    *,
    read_only: bool,
    area: str,
) -> None:
    from dts_core.errors import ConfigError
    from dts_core.plain.glyphs import wants_ascii

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(
            "this is no terminal.",
            advice="Use --once for text, or --snapshot FILE.svg for a picture.",
        )
    from dts_tui import keyboard
    from dts_tui.app import Console
    from dts_tui.hangup import end_with_terminal

    keyboard.guard()
    end_with_terminal(sys.stdin.fileno())
    console = Console(
        connect,
        settings=settings,
        server=name,
        read_only=read_only,
        area=area,
        ascii_only=wants_ascii(),
    )
    console.run(mouse=settings.console.mouse)
    if console.return_code:
        sys.exit(console.return_code)


async def _snapshot(
    connect: "Callable[[], AdminClient]",
    settings: "TuiFile",
    name: str,
    target: Path,
    size: tuple[int, int],
    area: str,
) -> None:
    from dts_tui.app import Console
    from dts_tui.snapshot import take

    await take(Console(connect, settings=settings, server=name, area=area), target, size)
    click.echo(f"written to {target}")


def _size(text: str) -> tuple[int, int]:
    from dts_core.errors import ConfigError

    width, _, height = text.partition("x")
    if not (
        width.isdecimal()
        and height.isdecimal()
        and 20 <= int(width) <= 400
        and 5 <= int(height) <= 200
    ):
        raise ConfigError(
            f"{text!r} is no size.", key="--size", advice="Write WIDTHxHEIGHT, for example 120x36."
        )
    return int(width), int(height)


if __name__ == "__main__":
    main()
