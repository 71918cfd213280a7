"""`dts functions versions|diff|rollback`: what a function was, how that differs, and back to it."""

from typing import TYPE_CHECKING

import click

from dts_core.bundles import modules_of
from dts_core.cli.client_common import (
    Where,
    age,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.errors import InvalidInput
from dts_core.plain import words
from dts_core.text import clean, clean_lines

if TYPE_CHECKING:
    from dts_core.views import FunctionView, VersionView

__all__ = [
    "SHORT",
    "VERSIONS_HEADER",
    "diff",
    "named_version",
    "rollback",
    "version_rows",
    "versions",
]

VERSIONS_HEADER = ("", "VERSION", "AUTHOR", "AGE", "SIZE", "SIGNED BY", "NOTE")
SHORT = 12
"""Hex digits of a version that are shown; so many, or fewer that are clear, name it."""


@click.command()
@click.argument("function", metavar="NS/NAME")
@server_options
def versions(where: Where, function: str) -> None:
    """List a function's versions, newest first: who made each, when, why, and which key signed it.

    `*` marks the default one, which a submission takes; `?` the canary, which is tried beside it.
    """
    with where.client() as client:
        found = client.functions.get(function)
    if where.as_json:
        told = {"default": found.default, "canary": found.canary}
        print_json({**told, "versions": found.versions})
        return
    print_table(VERSIONS_HEADER, version_rows(found))


def version_rows(function: "FunctionView") -> list[tuple[str, ...]]:
    """The rows of a table of versions, newest first."""
    return [
        (
            {function.canary: "?", function.default: "*"}.get(each.hash, ""),
            each.hash[:SHORT],
            each.author,
            age(each.created_at),
            words.size(each.size),
            each.signed_by or "nobody",
            each.note,
        )
        for each in reversed(function.versions)
    ]


@click.command()
@click.argument("function", metavar="NS/NAME")
@click.argument("old", metavar="A")
@click.argument("new", metavar="[B]", required=False, default="")
@server_options
def diff(where: Where, function: str, old: str, new: str) -> None:
    """Show how version B (else the default one) differs from version A, line by line, each module by itself.

    Versions are named by the first digits that `dts functions versions` shows.

    \b
    Example:
      dts functions diff sample/report 3f9a2c 81d0
    """  # noqa: D301 - below \b click keeps the lines
    with where.client() as client:
        found = client.functions.get(function)
        pair = [named_version(found, old), named_version(found, new or found.default)]
        before, after = (
            modules_of(client.functions.source(function, version=each.hash).source) for each in pair
        )
    was, now = (f"{found.id} {each.hash[:SHORT]} {each.note}".rstrip() for each in pair)
    lines = _difference(before, after, was, now)
    if where.as_json:
        print_json({"old": pair[0].hash, "new": pair[1].hash, "diff": lines})
    elif lines:
        print_line(clean_lines("\n".join(clean(line, 4096) for line in lines)))
    else:
        print_line("no difference")


def _difference(before: dict[str, str], after: dict[str, str], was: str, now: str) -> list[str]:
    """Of every module, one after another; a module that one of the versions does not have is empty there."""
    from difflib import unified_diff

    lines: list[str] = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path, "").splitlines(), after.get(path, "").splitlines()
        first, second = f"{was} {path}".rstrip(), f"{now} {path}".rstrip()
        lines += unified_diff(old, new, first, second, lineterm="")
    return lines


@click.command()
@click.argument("function", metavar="NS/NAME")
@click.argument("version", metavar="VERSION")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@server_options
def rollback(where: Where, function: str, version: str, dry_run: bool) -> None:
    """Make an earlier version of a function the default one again.

    Jobs submitted from now on take it; those that are there keep the version they were submitted
    with. No version is lost.
    """
    with where.client() as client:
        found = client.functions.get(function)
        chosen = named_version(found, version)
        written = client.functions.update(
            function, default=chosen.hash, revision=found.revision, dry_run=dry_run
        )
    if where.as_json:
        print_json(written)
        return
    done = "would be" if dry_run else "is"
    story = f"{found.id}: version {chosen.hash[:SHORT]} {done} the default one"
    was = "as before" if chosen.hash == found.default else f"in place of {found.default[:SHORT]}"
    print_line(f"{clean(story)}, {clean(was)}")


def named_version(function: "FunctionView", given: str) -> "VersionView":
    """The version of a function whose hash begins so.

    Raises:
        InvalidInput: None does, or several do.
    """
    found = [each for each in function.versions if given and each.hash.startswith(given.lower())]
    if len(found) == 1:
        return found[0]
    shown = clean(given, 64)
    raise InvalidInput(
        f"{len(found)} versions of {clean(function.id)} begin with {shown!r}."
        if found
        else f"{clean(function.id)} has no version {shown!r}.",
        advice=f"`dts functions versions {clean(function.id)}` lists them.",
    )
