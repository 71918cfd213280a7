"""`dts admin users|namespaces|functions list|get|add|set|replace|delete|edit`: the same for every admin collection."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from dts_core.cli.admin_completing import id_argument
from dts_core.cli.admin_output import print_toml
from dts_core.cli.admin_printing import BothVersions, cell, confirm, scalars, told
from dts_core.cli.client_common import (
    Where,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.errors import InvalidInput
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.clients import SyncAdminClient
    from dts_core.clients.collections import SyncCollection
    from dts_core.views import CollectionView

F = TypeVar("F", bound=Callable[..., Any])
PAGE: Final = 500
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "users": ("role", "disabled", "address", "groups", "updated_at"),
    "namespaces": ("description", "members", "updated_at"),
    "functions": ("default", "canary", "owner", "updated_at"),
}
"""What a table shows beside the id; of any other collection all its fields."""


def _write_options(command: F) -> F:
    """--secret, --secret-file and --dry-run."""
    options = [
        click.option("--secret", "asked", multiple=True, metavar="FIELD", help="Ask for a secret."),
        click.option(
            "--secret-file", "files", multiple=True, metavar="[FIELD=]FILE",
            help="Read a secret from a file.",
        ),
        click.option("--dry-run", is_flag=True, help="Check it, say what would be done, write nothing."),
    ]  # fmt: skip
    decorated: Any = command
    for option in reversed(options):
        decorated = option(decorated)
    result: F = decorated
    return result


def group(name: str, one: str, about: str) -> click.Group:
    """The commands of one collection.

    Args:
        name: Of the collection.
        one: What a document of it is called.
        about: The line of help.
    """
    made = click.Group(name, help=about)
    made.command("list", help=f"List {name}; a filter is FIELD=VALUE.")(_list(name))
    made.command("get", help=f"Show a {one}.")(_get(name))
    made.command("add", help=f"Create a {one}. Secrets are asked for.")(_add(name, one))
    made.command("set", help=f"Change fields of a {one}.")(_change(name, one, "update"))
    made.command("replace", help=f"Replace a {one}: what is left out takes its default.")(
        _change(name, one, "replace")
    )
    made.command("delete", help=f"Delete a {one}; says what depends on it.")(_delete(name, one))
    if name != "functions":
        made.command("edit", help=f"Edit a {one} as TOML in $VISUAL or $EDITOR.")(_edit(name, one))
    return made


def _list(name: str) -> Callable[..., None]:
    @click.argument("filters", nargs=-1, metavar="[FIELD=VALUE]...")
    @click.option("--prefix", default="", help="Only ids that begin so.")
    @click.option("--text", default="", help="Only with this text in the id or a searched field.")
    @click.option("--sort", default="", help="By this field; -FIELD for the greatest first.")
    @click.option("--fields", default="", help="Only these, separated by commas.")
    @click.option("-n", "--limit", default=500, type=click.IntRange(1, 100_000), help="At most.")
    @click.option("--toml", "as_toml", is_flag=True, help="Print TOML.")
    @server_options
    def list_(
        where: Where, filters: tuple[str, ...], fields: str, limit: int, as_toml: bool, **asked: str
    ) -> None:
        columns = [each for each in fields.split(",") if each]
        with where.client() as client:
            chosen = _filters(filters)
            whole = where.as_json or as_toml
            shown = columns or ([] if whole else list(COLUMNS.get(name, ())))
            found, more = _pages(
                client.collection(name), limit, {"fields": shown, **asked, **chosen}
            )
        if where.as_json:
            print_json({"items": found})
        elif as_toml:
            print_toml({name: found})
        else:
            names = ["_id", *(shown or scalars(found))]
            header = [each.removeprefix("_").upper() for each in names]
            print_table(header, [[cell(each.get(key)) for key in names] for each in found])
        if more:
            click.echo("There are more: raise --limit, or filter.", err=True)

    return list_


def _get(name: str) -> Callable[..., None]:
    @id_argument(name)
    @click.option("--toml", "as_toml", is_flag=True, help="Print TOML.")
    @server_options
    def get(where: Where, doc_id: str, as_toml: bool) -> None:
        with where.client() as client:
            found = client.collection(name).get(doc_id)
        if where.as_json:
            print_json(found)
        elif as_toml:
            print_toml(found)
        else:
            print_table(("FIELD", "VALUE"), [(key, cell(value)) for key, value in found.items()])

    return get


def _add(name: str, one: str) -> Callable[..., None]:
    @click.argument("doc_id", metavar="ID")
    @click.argument("pairs", nargs=-1, metavar="[FIELD=VALUE]...")
    @click.option("--file", "path", default="", metavar="FILE", help="Fields in TOML or JSON.")
    @_write_options
    @server_options
    def add(
        where: Where, doc_id: str, pairs: tuple[str, ...], path: str, dry_run: bool, **secret: Any
    ) -> None:
        with where.client() as client:
            view = _view(client, name)
            fields = _fields(view, pairs, path, needed=True, **secret)
            fields.pop("revision", None)
            written = client.collection(name).add(doc_id, dry_run=dry_run, **fields)
        told(where, one, written)

    return add


def _change(name: str, one: str, verb: str) -> Callable[..., None]:
    @id_argument(name)
    @click.argument("pairs", nargs=-1, metavar="[FIELD=VALUE]...")
    @click.option("--file", "path", default="", metavar="FILE", help="Fields in TOML or JSON.")
    @click.option(
        "--revision", default=0, type=click.IntRange(0), help="Only if it is still this one."
    )
    @_write_options
    @server_options
    def change(
        where: Where,
        doc_id: str,
        pairs: tuple[str, ...],
        path: str,
        revision: int,
        dry_run: bool,
        **secret: Any,
    ) -> None:
        with where.client() as client:
            view, documents = _view(client, name), client.collection(name)
            fields = _fields(view, pairs, path, needed=False, **secret)
            if revision:
                fields["revision"] = revision
            elif name == "functions" and "revision" not in fields:
                fields["revision"] = documents.get(doc_id)["revision"]
            call = documents.update if verb == "update" else documents.replace
            with BothVersions(one, doc_id):
                written = call(doc_id, dry_run=dry_run, **fields)
        told(where, one, written)

    return change


def _delete(name: str, one: str) -> Callable[..., None]:
    @id_argument(name)
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @click.option(
        "--revision", default=0, type=click.IntRange(0), help="Only if it is still this one."
    )
    @click.option("--dry-run", is_flag=True, help="Say what depends on it, delete nothing.")
    @server_options
    def delete(where: Where, doc_id: str, yes: bool, revision: int, dry_run: bool) -> None:
        with where.client() as client:
            documents = client.collection(name)
            if dry_run or not yes:
                planned = documents.delete(doc_id, revision=revision, dry_run=True)
                if dry_run:
                    told(where, one, planned)
                    return
                confirm(one, doc_id, planned.dependents)
            written = documents.delete(doc_id, revision=revision)
        told(where, one, written)

    return delete


def _edit(name: str, one: str) -> Callable[..., None]:
    @id_argument(name)
    @server_options
    def edit(where: Where, doc_id: str) -> None:
        from dts_core.cli.admin_values import parse
        from dts_core.plain.toml import to_toml

        with where.client() as client:
            view, documents = _view(client, name), client.collection(name)
            found = documents.get(doc_id)
            names = [each.name for each in view.fields if each.name in found and each.name != "_id"]
            before = {key: found[key] for key in names}
            text = click.edit(to_toml(before), extension=".toml", require_save=True)
            if text is None:
                print_line("nothing was changed")
                return
            after = parse(text, "the edited text")
            changed = {key: value for key, value in after.items() if before.get(key) != value}
            if not changed:
                print_line("nothing was changed")
                return
            with BothVersions(one, doc_id):
                written = documents.update(doc_id, revision=found["revision"], **changed)
        told(where, one, written)

    return edit


def _view(client: "SyncAdminClient", name: str) -> "CollectionView":
    for each in client.schema().items:
        if each.name == name:
            return each
    raise InvalidInput(f"the server has no collection {name}.", advice="It may be an older one.")


def _fields(
    view: "CollectionView",
    pairs: tuple[str, ...],
    path: str,
    *,
    needed: bool,
    asked: tuple[str, ...],
    files: tuple[str, ...],
) -> dict[str, Any]:
    from dts_core.cli.admin_values import assigned, from_file, secrets

    fields = from_file(path) if path else {}
    fields |= assigned(view, pairs)
    return fields | secrets(view, asked=asked, files=files, needed=needed)


def _filters(pairs: tuple[str, ...]) -> dict[str, str]:
    wrong = next((pair for pair in pairs if "=" not in pair), None)
    if wrong is not None:
        raise InvalidInput(f"{clean(wrong, 60)!r} is not of the form FIELD=VALUE.")
    return dict(pair.split("=", 1) for pair in pairs)


def _pages(
    documents: "SyncCollection", limit: int, asked: dict[str, Any]
) -> tuple[list[dict[str, Any]], bool]:
    """Up to `limit` documents, and whether there are more."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while len(found) < limit:
        size = min(PAGE, limit - len(found))
        page = documents.list(**asked, cursor=cursor, limit=size)
        found += page.items
        cursor = page.next
        if not cursor:
            break
    return found, bool(cursor)


users = group("users", "user", "Who may ask: list, add, change and remove users.")
namespaces = group("namespaces", "namespace", "What owns functions, and who is a member there.")
functions = group("functions", "function", "Functions as documents; see also `dts functions`.")
