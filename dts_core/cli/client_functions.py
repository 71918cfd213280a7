"""`dts functions list|show|add|push`, and with them `versions|diff|rollback`."""

from typing import TYPE_CHECKING

import click

from dts_core.cli.client_common import (
    Where,
    age,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.cli.client_push import add, push
from dts_core.cli.client_versions import VERSIONS_HEADER, diff, rollback, version_rows, versions
from dts_core.text import clean, clean_lines

if TYPE_CHECKING:
    from dts_core.model import Parameter


@click.group()
def functions() -> None:
    """Functions: list them, look at one, add one, go back to a former version."""


for _command in (add, push, versions, diff, rollback):
    functions.add_command(_command)


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
    if current.requires_python:
        print_line(f"Python {clean(current.requires_python)}")
    if current.dependencies:
        print_line(f"packages: {clean(', '.join(current.dependencies), 2_000)}")
    print_table(
        ("PARAMETER", "TYPE", "DEFAULT", "HELP"),
        [
            (each.name, each.annotation or each.type, _default(each), each.help)
            for each in current.parameters
        ],
    )
    print_line()
    print_table(VERSIONS_HEADER, version_rows(found))


def _default(parameter: "Parameter") -> str:
    if parameter.required:
        return "required"
    return parameter.default_text or str(parameter.default)
