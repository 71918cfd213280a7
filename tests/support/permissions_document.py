"""The table of permissions for people: `python -m tests.support.permissions_document` writes docs/permissions.md."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.support.permissions import GLOBAL, OTHER, OWN, PERSONAS, SCOPED, Cell, cells, count

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "permissions.md"


def _told(found: Iterable[Cell]) -> str:
    return " ".join(sorted({_shown(each) for each in found}))


def _shown(cell: Cell) -> str:
    hides = cell.row is not None and cell.row.proof and not cell.is_proven and cell.status == 200
    return "none" if hides else str(cell.status)


def document() -> str:
    """docs/permissions.md."""
    shown = PERSONAS[1:]
    lines = [
        "# Who may do what",
        "",
        f"Each of {count()} cells is asked of a server by the tests; `python -m tests.support.permissions_document`",
        "writes this file from the same table. A route without a row fails the tests, and so does an old file.",
        "",
        "A user has a role everywhere (first word) and one in a namespace (second word), and may show an access token",
        "that allows less: of a scope, or for one namespace (`in it`) alone. Cells hold HTTP statuses; `none` is an",
        "answer without a trace of it. Only login and health answer without a token.",
        "",
        "## What belongs to no namespace",
        "",
        "| needs | routes |",
        "|---|---|",
    ]
    for level, found in GLOBAL.items():
        names = ", ".join(f"`{method} {path}`" for method, path in found)
        lines.append(f"| {level} | {names or '-'} |")
    lines += [
        "",
        "Of these `GET /metrics` is for administrators, and for their access tokens of any scope that are not for some",
        "namespaces alone: it counts over all of them. `GET /status` and `GET /jobs/counts` count the jobs of the",
        "namespaces that the user sees.",
        "",
        "`GET /ssh/shells/{id}` opens a shell, as a WebSocket. It takes `dts/ssh.shell`: administrators have it on",
        "every host, by a login or a token of scope admin; others on hosts whose `shell_users` name them, by a login",
        "or a token of scope operate for all namespaces. Everybody else gets 403, whether or not there is such a",
        "host, and that is on record.",
    ]
    columns = " | ".join(each.name for each in shown)
    for title, namespace in (("A namespace of one's own", OWN), ("A namespace of others", OTHER)):
        lines += [
            "",
            f"## {title}",
            "",
            f"| route | id in | {columns} |",
            "|---" * (len(shown) + 2) + "|",
        ]
        by_persona = [
            {
                (cell.route, id(cell.row)): cell
                for cell in cells(each)
                if cell.namespace == namespace
            }
            for each in shown
        ]
        for (method, path), (_, rows) in SCOPED.items():
            for where in dict.fromkeys(row.where for row in rows):
                told = [
                    _told(each[(method, path), id(row)] for row in rows if row.where == where)
                    for each in by_persona
                ]  # fmt: skip
                lines.append(f"| `{method} {path}` | {where} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
    print(f"{DOCUMENT.name}: {count()} cells")
