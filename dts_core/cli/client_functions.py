"""`dts functions list|show|add|push`."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from dts_core.cli.client_common import (
    Where,
    age,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.errors import ApiError, ConfigError
from dts_core.plain import words
from dts_core.text import clean, clean_lines

if TYPE_CHECKING:
    from dts_core.model import Parameter

SOURCE_MAX = 1 << 20


@click.group()
def functions() -> None:
    """Functions: list them, look at one, add one."""


@functions.command("list")
@click.option("--namespace", default="", help="Only of this namespace.")
@server_options
def list_(where: Where, namespace: str) -> None:
    """List functions with their default version."""
    with where.client() as client:
        page = client.functions.list(namespace=namespace)
    if where.as_json:
        print_json(page)
        return
    rows = [
        (
            each.id,
            each.default[:12],
            len(each.versions),
            each.owner,
            age(each.updated_at),
            each.current.summary,
        )
        for each in page.items
    ]
    print_table(("FUNCTION", "DEFAULT", "VERSIONS", "OWNER", "CHANGED", "SUMMARY"), rows)


@functions.command()
@click.argument("function", metavar="NS/NAME")
@click.option(
    "--source", "with_source", is_flag=True, help="Print the source of the default version."
)
@server_options
def show(where: Where, function: str, with_source: bool) -> None:
    """Show a function: parameters, versions, source."""
    with where.client() as client:
        found = client.functions.get(function)
        source = client.functions.source(function).source if with_source else ""
    if where.as_json:
        print_json({"function": found, "source": source} if with_source else found)
        return
    if with_source:
        print_line(clean_lines(source))
        return
    current = found.current
    print_line(f"{clean(found.id)}  {clean(current.summary)}")
    print_table(
        ("PARAMETER", "TYPE", "DEFAULT", "HELP"),
        [
            (each.name, each.annotation or each.type, _default(each), each.help)
            for each in current.parameters
        ],
    )
    print_line()
    rows = [
        (
            "*" if each.hash == found.default else "",
            each.hash[:12],
            each.author,
            age(each.created_at),
            words.size(each.size),
            each.note,
        )
        for each in reversed(found.versions)
    ]
    print_table(("", "VERSION", "AUTHOR", "AGE", "SIZE", "NOTE"), rows)


def _default(parameter: "Parameter") -> str:
    if parameter.required:
        return "required"
    return parameter.default_text or str(parameter.default)


def _read(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}.", file=str(file)) from error
    if len(data) > SOURCE_MAX:
        raise ConfigError(
            f"has {len(data)} bytes; a source has at most {SOURCE_MAX}.", file=str(file)
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"is not UTF-8 at byte {error.start}.", file=str(file)) from error


@functions.command()
@click.argument("function", metavar="NS/NAME")
@click.argument("file", metavar="FILE.py", type=click.Path(path_type=Path))
@click.option("--note", default="", help="What this version is for.")
@server_options
def add(where: Where, function: str, file: Path, note: str) -> None:
    """Create a function from a file with a `main`."""
    source = _read(file)
    with where.client() as client:
        written = client.functions.add(function, source, note=note)
    if where.as_json:
        print_json(written)
    else:
        print_line(f"created {clean(written.id)}, version {clean(written.version[:12])}")


@functions.command()
@click.argument("function", metavar="NS/NAME")
@click.argument("file", metavar="FILE.py", type=click.Path(path_type=Path))
@click.option("--note", default="", help="What this version is for.")
@server_options
def push(where: Where, function: str, file: Path, note: str) -> None:
    """Create a function, or give an existing one a new version, from a file.

    \b
    Example:
      dts functions push sample/report report.py --note "less memory"
    """  # noqa: D301 - below \b click keeps the lines
    source = _read(file)
    with where.client() as client:
        try:
            revision = client.functions.get(function).revision
        except ApiError as error:
            if error.answer_status != 404:
                raise
            written = client.functions.add(function, source, note=note)
        else:
            written = client.functions.update(function, source=source, note=note, revision=revision)
    if where.as_json:
        print_json(written)
    else:
        done = {"create": "created", "update": "changed"}.get(written.operation, written.operation)
        print_line(f"{clean(done)} {clean(written.id)}, version {clean(written.version[:12])}")
