"""`dts context`: the servers that one has logged in to."""

import os
from typing import TYPE_CHECKING, Any

import click

from dts_core.cli.client_common import print_json, print_line, print_table
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.clients.endpoint import Context


@click.group()
def context() -> None:
    """Servers that you have logged in to: which there are, which one commands go to.

    They lie in a file that only you can read. A command takes the one of --context, else of
    DTS_CONTEXT, else the one that `use` has set.
    """


@context.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_contexts(as_json: bool) -> None:
    """List them; * marks the one in use."""
    from dts_core.clients.endpoint import read_contexts

    known = read_contexts()
    used = os.environ.get("DTS_CONTEXT") or known.current
    if as_json:
        print_json([_told(name, each, used) for name, each in sorted(known.contexts.items())])
        return
    rows = [
        ("*" if name == used else "", name, each.user, each.url)
        for name, each in sorted(known.contexts.items())
    ]
    print_table(("", "CONTEXT", "USER", "SERVER"), rows)


@context.command()
@click.argument("name", metavar="[NAME]", default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, as_json: bool) -> None:
    """Show one, or the one in use; never its token."""
    from dts_core.clients.endpoint import known_context, read_contexts

    known = read_contexts()
    used = os.environ.get("DTS_CONTEXT") or known.current
    told = _told(name or used, known_context(known, name or used), used)
    if as_json:
        print_json(told)
        return
    for key, value in told.items():
        print_line(f"{key:<8}  {clean(str(value), 400)}".rstrip())


@context.command()
@click.argument("name", metavar="NAME")
def use(name: str) -> None:
    """Have commands go to this one from now on."""
    from dts_core.clients.endpoint import changed_contexts, known_context

    with changed_contexts() as known:
        found = known_context(known, name)
        known.current = name
    print_line(f"context {clean(name)}: {clean(found.user)} at {clean(found.url)}")


@context.command()
@click.argument("name", metavar="NAME")
@click.argument("new", metavar="NEW")
def rename(name: str, new: str) -> None:
    """Call one otherwise."""
    from dts_core.clients.endpoint import changed_contexts, rename_context

    with changed_contexts() as known:
        rename_context(known, name, new)
    print_line(f"context {clean(name)} is called {clean(new)} now")


@context.command()
@click.argument("name", metavar="NAME")
def remove(name: str) -> None:
    """Forget one. Its token goes on until `dts logout`: end it first."""
    from dts_core.clients.endpoint import changed_contexts, remove_context

    with changed_contexts() as known:
        remove_context(known, name)
    print_line(f"context {clean(name)} is forgotten")


def _told(name: str, found: "Context", used: str) -> dict[str, Any]:
    return {
        "name": name,
        "url": found.url,
        "user": found.user,
        "ca": found.ca,
        "used": name == used,
    }
