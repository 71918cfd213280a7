"""`dts hosts list|drain|undrain`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from dts_core.cli.client_common import (
    Where,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.plain import figures, glyphs, words
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.views import DrainChange


@click.group()
def hosts() -> None:
    """Hosts: how they are, and draining them."""


@hosts.command("list")
@server_options
def list_(where: Where) -> None:
    """List hosts, the worst first."""
    with where.client() as client:
        found = client.hosts()
    if where.as_json:
        print_json(found)
        return
    rows = [
        (
            each.name,
            _state(figures.host_state(each)),
            words.since(each.last_beat, found.at),
            words.share(each.beat.cpu),
            words.share(figures.memory_share(each)),
            f"{each.beat.running}/{each.beat.slots}",
            each.workers,
            each.beat.version,
        )
        for each in figures.by_pressure(found.items)
    ]
    print_table(("HOST", "STATE", "BEAT", "CPU", "MEMORY", "JOBS", "WORKERS", "VERSION"), rows)


def _state(name: str) -> str:
    return f"{glyphs.host(name).glyph} {name}"


@hosts.command()
@click.argument("names", metavar="HOST...", nargs=-1, required=True)
@server_options
def drain(where: Where, names: tuple[str, ...]) -> None:
    """Have hosts take nothing new and finish what runs, until `undrain`."""
    with where.client() as client:
        _switch(where, names, client.drain_host)


@hosts.command()
@click.argument("names", metavar="HOST...", nargs=-1, required=True)
@server_options
def undrain(where: Where, names: tuple[str, ...]) -> None:
    """Have drained hosts take jobs again."""
    with where.client() as client:
        _switch(where, names, client.undrain_host)


def _switch(where: Where, names: tuple[str, ...], act: Callable[[str], "DrainChange"]) -> None:
    done = []
    for name in names:
        change = act(name)
        done.append(change)
        if not where.as_json:
            how = "to drain" if change.draining else "to take jobs"
            told = "is told" if change.changed else "was told already"
            print_line(f"{clean(change.host, 120)} {told} {how}")
    if where.as_json:
        print_json(done)
