"""`dts admin functions canary set|push|show|promote|withdraw`: a version tried before it is the default one."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from dts_core.cli.admin_printing import BothVersions
from dts_core.cli.client_common import (
    Where,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.cli.client_versions import SHORT, named_version
from dts_core.errors import InvalidInput
from dts_core.plain import words
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.views import FunctionOutcomes, FunctionView, Written

__all__ = ["canary"]

F = TypeVar("F", bound=Callable[..., Any])
_HEADER: Final = ("VERSION", "", "RUNS", "DONE", "FAILED", "CANCELLED", "OPEN", "NOTE")
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
_function = click.argument("function", metavar="NS/NAME")


def _where_to(command: F) -> F:
    """--share and --host."""
    options = [
        click.option(
            "--share", default=0.0, type=click.FloatRange(0, 1), metavar="SHARE",
            help="Share of the jobs that run it, 0 to 1.",
        ),
        click.option("--host", "hosts", multiple=True, metavar="HOST", help="A host that runs it; repeatable."),
    ]  # fmt: skip
    decorated: Any = command
    for option in reversed(options):
        decorated = option(decorated)
    result: F = decorated
    return result


@click.group()
def canary() -> None:
    """A version on trial: on hosts, and for a share of the jobs, beside the default one.

    A job keeps the version that was chosen for it. One that names a version runs that one, and one whose arguments
    do not fit the canary runs the default one.

    \b
    Example:
      dts admin functions canary push etl/load load.py --share 0.05 --host lab1
      dts admin functions canary show etl/load
      dts admin functions canary promote etl/load
    """  # noqa: D301 - below \b click keeps the lines


@canary.command("set")
@_function
@click.argument("version", metavar="VERSION")
@_where_to
@_dry_run
@server_options
def set_(
    where: Where, function: str, version: str, share: float, hosts: tuple[str, ...], dry_run: bool
) -> None:
    """Try a version that is there already; the one that was tried before is withdrawn."""
    with where.client() as client:
        found = client.functions.get(function)
        chosen = named_version(found, version)
        with BothVersions("function", function):
            written = client.functions.update(
                function, revision=found.revision, canary=chosen.hash, canary_share=share,
                canary_hosts=hosts, dry_run=dry_run,
            )  # fmt: skip
    _told(where, written, f"version {chosen.hash[:SHORT]}", "tried", _runs(share, hosts))


@canary.command()
@_function
@click.argument("file", metavar="FILE.py", type=click.Path(path_type=Path))
@click.option("--note", default="", help="What this version is for.")
@_where_to
@_dry_run
@server_options
def push(
    where: Where,
    function: str,
    file: Path,
    note: str,
    share: float,
    hosts: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Give a function a new version from a file that is only tried; the default one stays."""
    from dts_core.cli.admin_values import text_of

    source = text_of(str(file))
    with where.client() as client:
        found = client.functions.get(function)
        with BothVersions("function", function):
            written = client.functions.update(
                function, revision=found.revision, source=source, note=note, canary="new",
                canary_share=share, canary_hosts=hosts, dry_run=dry_run,
            )  # fmt: skip
    version = f"version {written.version[:SHORT]}" if written.version else "a new version"
    _told(where, written, version, "tried", _runs(share, hosts))


@canary.command()
@_function
@server_options
def show(where: Where, function: str) -> None:
    """Show the default version and the canary, and what became of the newest jobs under each."""
    with where.client() as client:
        found = client.functions.get(function)
        outcomes = client.functions.outcomes(function)
    if where.as_json:
        told = {"share": found.canary_share, "hosts": found.canary_hosts, "outcomes": outcomes}
        print_json({"default": found.default, "canary": found.canary, **told})
        return
    print_table(_HEADER, _rows(found, outcomes))
    some = "all" if outcomes.is_all else "the newest"
    print_line(f"of {some} {words.plural(outcomes.looked_at, 'job')}")


@canary.command()
@_function
@_dry_run
@server_options
def promote(where: Where, function: str, dry_run: bool) -> None:
    """Make the canary the default version, which ends the trial."""
    with where.client() as client:
        found = client.functions.get(function)
        tried = _canary_of(found)
        with BothVersions("function", function):
            written = client.functions.update(
                function, revision=found.revision, default=tried, dry_run=dry_run
            )
    was = f", in place of {found.default[:SHORT]}"
    _told(where, written, f"version {tried[:SHORT]}", "the default one", was)


@canary.command()
@_function
@_dry_run
@server_options
def withdraw(where: Where, function: str, dry_run: bool) -> None:
    """Try it no more: jobs from now on run the default version. No version is lost."""
    with where.client() as client:
        found = client.functions.get(function)
        tried = _canary_of(found)
        with BothVersions("function", function):
            written = client.functions.update(
                function, revision=found.revision, canary="", dry_run=dry_run
            )
    _told(where, written, f"version {tried[:SHORT]}", "withdrawn", "")


def _canary_of(function: "FunctionView") -> str:
    """The hash of the version on trial.

    Raises:
        InvalidInput: None is.
    """
    if not function.canary:
        raise InvalidInput(
            f"{clean(function.id)} has no canary.",
            advice="`dts admin functions canary set` tries a version.",
        )
    return function.canary


def _rows(function: "FunctionView", outcomes: "FunctionOutcomes") -> list[tuple[str, ...]]:
    """The default version and the canary first, then others that jobs run."""
    notes = {each.hash: each.note for each in function.versions}
    counts = {each.version: each for each in outcomes.versions}
    first = [function.default, *([function.canary] if function.canary else [])]
    rows: list[tuple[str, ...]] = []
    for version in [*first, *(each for each in counts if each not in first)]:
        count = counts.get(version)
        told = (
            ("0",) * 4
            if count is None
            else (str(count.done), str(count.failed), str(count.ended), str(count.open))
        )
        runs = _share(function, version)
        kind = {function.canary: "canary", function.default: "default"}.get(version, "")
        rows.append((version[:SHORT], kind, runs, *told, notes.get(version, "")))
    return rows


def _share(function: "FunctionView", version: str) -> str:
    if version != function.canary:
        return ""
    share = words.share(function.canary_share) if function.canary_share else ""
    return ", ".join([*([share] if share else []), *function.canary_hosts])


def _runs(share: float, hosts: tuple[str, ...]) -> str:
    told = [f"for {words.share(share)} of the jobs"] if share else []
    if hosts:
        told.append(f"on {', '.join(hosts)}")
    return f", {' and '.join(told)}" if told else ""


def _told(where: Where, written: "Written", what: str, done: str, more: str) -> None:
    if where.as_json:
        print_json(written)
        return
    verb = "would be" if written.dry_run else "is"
    print_line(clean(f"{written.id}: {what} {verb} {done}{more}", 2_000))
