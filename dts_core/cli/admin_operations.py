"""`dts admin operations list|show|history|diff|verify|checkpoint`: the audit."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dts_core.cli.client_common import (
    Where,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.errors import Conflict, InvalidInput
from dts_core.plain import operations as plain
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.clients import SyncAdminClient
    from dts_core.views import Checkpoint, OperationList, OperationView, Verification

PAGE: Final = 500
CHECKPOINT_BYTES: Final = 64 << 20
_TIMES: Final = click.DateTime(
    ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
)


@click.group()
def operations() -> None:
    """The audit: every write, every refused attempt, and whether its record is as it was written."""


@operations.command("list")
@click.option("--collection", default="", help="Only of this collection: users, functions, ...")
@click.option("--document", "doc_id", default="", help="Only of this document.")
@click.option("--operator", default="", help="Only by this user.")
@click.option(
    "--type", "op_type", default="", help="Only these: create, update, delete, login, ..."
)
@click.option("--since", type=_TIMES, metavar="TIME", help="Not before this time, in your zone.")
@click.option("--until", type=_TIMES, metavar="TIME", help="Only before this time.")
@click.option("--refused", is_flag=True, help="Only refused attempts.")
@click.option("--before", default=0, type=click.IntRange(0), help="Older than this number.")
@click.option("--after", default=0, type=click.IntRange(0), help="Newer than this number.")
@click.option("-n", "--limit", default=50, type=click.IntRange(1, 10_000), help="How many at most.")
@server_options
def list_(where: Where, limit: int, **filters: Any) -> None:
    """List operations, the newest first.

    \b
    Examples:
      dts admin operations list --operator anna --since 2026-11-01
      dts admin operations list --collection users --refused
    """  # noqa: D301 - below \b click keeps the lines
    for name in ("since", "until"):
        filters[name] = _aware(filters[name])
    with where.client() as client:
        found = _collect(client, limit, filters)
    if where.as_json:
        print_json(found)
        return
    _table(found.items)
    if found.next:
        way = "--after" if filters["after"] else "--before"
        click.echo(f"There are more: {way} {found.next}")


@operations.command()
@click.argument("key", metavar="NUMBER|ID")
@server_options
def show(where: Where, key: str) -> None:
    """Show one operation, with what changed field by field."""
    with where.client() as client:
        found = client.operations.get(key)
    if where.as_json:
        print_json(found)
        return
    for name, value in plain.facts(found):
        print_line(f"{name:<11}{value}")
    for line in plain.changes(found.ops):
        print_line(f"  {line}")


@operations.command()
@click.argument("collection")
@click.argument("doc_id", metavar="ID")
@click.option("-n", "--limit", default=50, type=click.IntRange(1, 10_000), help="How many at most.")
@server_options
def history(where: Where, collection: str, doc_id: str, limit: int) -> None:
    """Show what was done to one document, the newest first, each with what changed.

    \b
    Example:
      dts admin operations history users anna
    """  # noqa: D301 - below \b click keeps the lines
    with where.client() as client:
        found = _collect(client, limit, {"collection": collection, "doc_id": doc_id})
    if where.as_json:
        print_json(found)
        return
    for each in found.items:
        revision = f"revision {each.revision}" if each.revision else "-"
        print_line(
            f"{each.timestamp.astimezone():%Y-%m-%d %H:%M:%S}  {revision:<13}"
            f"{clean(each.op_type, 20)} by {clean(each.operator, 120)}, {plain.outcome(each)}"
        )
        for line in plain.changes(each.ops):
            print_line(f"    {line}")


@operations.command()
@click.argument("collection")
@click.argument("doc_id", metavar="ID")
@click.option(
    "--from", "of", required=True, type=click.IntRange(0), metavar="REV", help="0: before it was."
)
@click.option("--to", required=True, type=click.IntRange(0), metavar="REV", help="The other one.")
@server_options
def diff(where: Where, collection: str, doc_id: str, of: int, to: int) -> None:
    """Show what differs between two revisions of a document; its removal counts as one.

    \b
    Example:
      dts admin operations diff users anna --from 1 --to 4
    """  # noqa: D301 - below \b click keeps the lines
    with where.client() as client:
        found = client.operations.difference(collection, doc_id, of=of, to=to)
    if where.as_json:
        print_json(found)
        return
    for line in plain.changes(found.changes) or ["nothing differs"]:
        print_line(line)


@operations.command()
@click.option("--checkpoint", "file", default="", metavar="FILE", help="Compare with this one too.")
@server_options
def verify(where: Where, file: str) -> int:
    """Read the whole audit and tell what is not as it was written; exit status 1 when there is anything.

    Whoever can write to the database can cut the end of the audit off unseen: a checkpoint that is
    kept elsewhere shows it.
    """
    known = _read_checkpoint(Path(file)) if file else None
    with where.client() as client:
        found = client.operations.verify(known)
    if where.as_json:
        print_json(found)
    else:
        _tell(found)
    return 1 if found.total else 0


@operations.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--accept-unchained", is_flag=True, help="Records without a chain are an older server's."
)
@server_options
def checkpoint(where: Where, file: Path, accept_unchained: bool) -> None:
    """Write where the audit stands into a file; keep it where nobody who writes the database can write.

    An older checkpoint in FILE is replaced only when the audit agrees with it.
    """
    from dts_core.private import write_private

    with where.client() as client:
        if file.exists():
            agreed = client.operations.verify(_read_checkpoint(file))
            if agreed.total:
                _tell(agreed)
                raise Conflict(f"{file} is left as it is: the audit does not agree with it.")
        taken = client.operations.checkpoint(accept_unchained=accept_unchained)
    write_private(file, _packed(taken))
    if where.as_json:
        print_json(taken)
    else:
        print_line(
            f"{clean(str(file), 400)}: {taken.records:,} records, {len(taken.heads):,} chains"
        )


def _collect(client: "SyncAdminClient", limit: int, filters: dict[str, Any]) -> "OperationList":
    """As many as were asked for: a page may be short and yet not the last."""
    from dts_core.views import OperationList

    found: list[OperationView] = []
    newer = bool(filters.get("after"))
    while True:
        page = client.operations.list(limit=min(limit - len(found), PAGE), **filters)
        found = page.items + found if newer else found + page.items
        if not page.next or len(found) >= limit:
            return OperationList(items=found, next=page.next)
        filters = {**filters, "after" if newer else "before": page.next}


def _table(items: "list[OperationView]") -> None:
    rows = [
        (
            each.position,
            f"{each.timestamp.astimezone():%Y-%m-%d %H:%M:%S}",
            each.operator,
            each.op_type,
            f"{each.collection} {each.doc_id}",
            plain.outcome(each),
        )
        for each in items
    ]
    print_table(("NUMBER", "TIME", "BY", "OPERATION", "DOCUMENT", "OUTCOME"), rows)


def _tell(found: "Verification") -> None:
    for each in found.findings:
        print_line(plain.finding(each))
    print_line(plain.verdict(found))


def _aware(at: datetime | None) -> datetime | None:
    return at and at.astimezone()


def _packed(taken: "Checkpoint") -> bytes:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(taken), indent=2) + b"\n"


def _read_checkpoint(file: Path) -> "Checkpoint":
    import msgspec

    from dts_core.views import Checkpoint

    with file.open("rb") as stream:
        content = stream.read(CHECKPOINT_BYTES)
    try:
        return msgspec.json.decode(content, type=Checkpoint)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"{clean(str(file), 400)} is no checkpoint.",
            advice="Give a file that `dts admin operations checkpoint` wrote.",
        ) from error
