"""What the commands of admin collections print: documents, what a write did, what stands in its way."""

from typing import TYPE_CHECKING, Any, Final

import click

from dts_core.cli.client_common import Where, print_json, print_line, print_table
from dts_core.errors import ApiError, InvalidInput
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.views import Dependents, Written

DONE: Final = {
    "create": "created",
    "update": "changed",
    "replace": "replaced",
    "delete": "deleted",
}


class BothVersions:
    """Shows both versions of a stale write, on standard error, before the error goes on."""

    def __init__(self, one: str, doc_id: str) -> None:
        self._one = one
        self._doc_id = doc_id

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, ApiError) or "current" not in error.told:
            return
        current, sent = error.told["current"], error.told.get("sent", {})
        click.echo(f"{self._one} {clean(self._doc_id)} as it is now, and as you sent it:", err=True)
        for name in error.told.get("differ", ()):
            now, yours = (cell(each.get(name)) for each in (current, sent))
            click.echo(f"  {clean(str(name))}: {clean(now, 200)} -> {clean(yours, 200)}", err=True)


def confirm(one: str, doc_id: str, dependents: "list[Dependents]") -> None:
    """Have the name typed where something depends on the document. Raises Abort."""
    if not dependents:
        return
    _depending(dependents, err=True)
    typed = click.prompt(f"type the name of the {one} to delete it", err=True)
    if typed != doc_id:
        raise InvalidInput(f"that is not {clean(doc_id)}: nothing was deleted.")


def _depending(dependents: "list[Dependents]", *, err: bool = False) -> None:
    for each in dependents:
        more = ", ..." if each.total > len(each.ids) or each.at_least else ""
        some = f"at least {each.total}" if each.at_least else str(each.total)
        names = ", ".join(clean(name, 120) for name in each.ids)
        click.echo(f"  {some} {clean(each.collection)}: {names}{more}", err=err)


def told(where: Where, one: str, written: "Written") -> None:
    """Print what a write did, or would do."""
    if where.as_json:
        print_json(written)
        return
    done = DONE.get(written.operation, clean(written.operation))
    what = f"{one} {clean(written.id)}"
    if written.dry_run:
        print_line(f"would be {done}: {what}; nothing was written")
        rows = [(key, cell(pair[0]), cell(pair[1])) for key, pair in written.changes.items()]
        if rows:
            print_table(("FIELD", "NOW", "THEN"), rows)
    elif written.operation == "delete":
        print_line(f"{done} {what}")
    else:
        print_line(f"{done} {what}, revision {written.revision}")
    _depending(written.dependents)


def scalars(found: list[dict[str, Any]]) -> list[str]:
    """Fields of these documents that fit into a column."""
    first = found[0] if found else {}
    return [key for key, value in first.items() if key != "_id" and not isinstance(value, dict)]


def cell(value: Any) -> str:
    """A value for people."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(cell(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {cell(each)}" for key, each in value.items())
    return str(value)
