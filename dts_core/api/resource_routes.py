"""Routes of the admin collections: the same six for each, made from its declaration."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dts_core.api.endpoint import Call, Permission, Routes
from dts_core.errors import InvalidInput
from dts_core.services.documents import Collection, names_of
from dts_core.services.resources.base import Resource, Wanted
from dts_core.services.resources.forms import sort_name
from dts_core.text import clean
from dts_core.views import DocumentPage, Written

Find = Callable[[Call[Any, Any]], Resource[Any]]
_LIST: Final = (
    "`fields` names those to show, separated by commas. A page may be short yet have a `next`."
)


class WriteQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """With `dry_run` everything is checked and nothing written; the answer says what would be."""

    dry_run: bool = False


class RemovalQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The revision that is meant, 0 is whatever there is; `dry_run` as for writes."""

    revision: Annotated[int, Meta(ge=0)] = 0
    dry_run: bool = False


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """Where a collection is reached, and who may.

    `read` and `write` are what its routes ask for; what stands in the way of a single document its service says.
    """

    collection: Collection[Any]
    service: Find
    parts: tuple[str, ...] = ("id",)
    """Parts of the path that make up an id, joined by a slash."""
    read: Permission = Permission.ADMIN
    write: Permission = Permission.ADMIN
    more: tuple[tuple[str, Any, Any], ...] = ()
    """Further query parameters of the list: name, type, default."""
    prefix: Callable[[Any], str] = lambda query: str(query.prefix)
    """Prefix of the ids that a list's query asks for."""


def mount(routes: Routes, at: Mount) -> None:
    """Add the routes of a collection: list, create, get, update, replace, delete."""
    collection = at.collection
    path = f"/admin/{collection.name}"
    one = "/".join([path, *(f"{{{part}}}" for part in at.parts)])
    page: Any = DocumentPage[_listed(collection.document)]  # type: ignore[misc]  # known when it runs
    bodies = _bodies(collection)

    def add(
        method: str, where: str, need: Permission, handler: Handler, told: str, **more: Any
    ) -> None:
        verb = {"POST": "create", "PATCH": "update", "PUT": "replace", "DELETE": "delete"}.get(
            method, "get" if where == one else "list"
        )
        handler.__name__ = f"{verb}_{collection.name if verb == 'list' else collection.one}"
        handler.__doc__ = told
        routes.add(method, where, need, **more)(handler)

    name = collection.one
    add(
        "GET", path, at.read, _list(at), f"One page of {collection.name}. {_LIST}",
        query=_list_query(at), answer=page,
    )  # fmt: skip
    add(
        "POST", path, at.write, _create(at), f"Create a {name}.",
        query=WriteQuery, body=dict[str, Any], shown_body=bodies["create"], answer=Written,
        status=201,
    )  # fmt: skip
    add("GET", one, at.read, _get(at), f"One {name}.", answer=collection.document)
    for method, verb, told in (
        ("PATCH", "update", f"Change fields of a {name}; a stale `revision` is refused."),
        ("PUT", "replace", f"Replace a {name}: fields that are left out take their defaults."),
    ):
        add(
            method, one, at.write, _change(at, verb), told,
            query=WriteQuery, body=dict[str, Any], shown_body=bodies[verb], answer=Written,
        )  # fmt: skip
    add(
        "DELETE", one, at.write, _delete(at), f"Remove a {name}; says what depends on it.",
        query=RemovalQuery, answer=Written,
    )  # fmt: skip


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]


def _id(at: Mount, call: Call[Any, Any]) -> str:
    return "/".join(call.path(part) for part in at.parts)


def _list(at: Mount) -> Handler:
    names = {sort_name(each) for each in names_of(at.collection.document)}

    async def handle(call: Call[Any, Any]) -> Any:
        asked = call.query
        where = {
            name: value
            for name in at.collection.filters
            if (value := getattr(asked, name)) is not UNSET
        }
        wanted = Wanted(
            prefix=at.prefix(asked),
            text=asked.text,
            where=where,
            sort=_sort(at.collection, asked.sort),
            cursor=asked.cursor,
            limit=asked.limit,
        )
        return await at.service(call).find(call.caller, wanted, fields=_fields(asked.fields, names))

    return handle


def _get(at: Mount) -> Handler:
    async def handle(call: Call[Any, Any]) -> Any:
        return await at.service(call).get(call.caller, _id(at, call))

    return handle


def _create(at: Mount) -> Handler:
    async def handle(call: Call[Any, Any]) -> Any:
        return await at.service(call).create(call.caller, call.body, dry_run=call.query.dry_run)

    return handle


def _change(at: Mount, verb: str) -> Handler:
    async def handle(call: Call[Any, Any]) -> Any:
        service = at.service(call)
        change = service.update if verb == "update" else service.replace
        return await change(call.caller, _id(at, call), call.body, dry_run=call.query.dry_run)

    return handle


def _delete(at: Mount) -> Handler:
    async def handle(call: Call[Any, Any]) -> Any:
        asked = call.query
        return await at.service(call).delete(
            call.caller, _id(at, call), revision=asked.revision, dry_run=asked.dry_run
        )

    return handle


def _fields(asked: str, names: set[str]) -> Sequence[str]:
    wanted = [name for name in asked.split(",") if name]
    for name in wanted:
        if name not in names:
            raise InvalidInput(
                f"there is no field {clean(name, 60)!r} to show.",
                fields={"fields": f"of {', '.join(sorted(names))}"},
            )
    return wanted


def _sort(collection: Collection[Any], asked: str) -> str:
    """The order as the service takes it. Raises InvalidInput, naming those that there are."""
    name = asked.removeprefix("-")
    known = {sort_name(each): each for each in collection.sorts}
    if name and name not in known:
        raise InvalidInput(
            f"a list of {collection.name} cannot be sorted by {clean(name, 60)!r}.",
            fields={"sort": f"one of {', '.join(known)}, with - before it for the greatest first"},
        )
    return asked.replace(name, known[name]) if name else ""


def _list_query(at: Mount) -> Any:
    collection = at.collection
    filters = [(name, kind | UnsetType, UNSET) for name, kind in collection.filters.items()]
    return msgspec.defstruct(
        f"{collection.name.title()}Query",
        [
            ("fields", Annotated[str, Meta(extra_json_schema=_listing(collection))], ""),
            *at.more,
            ("prefix", str, ""),
            ("text", str, ""),
            *filters,
            ("sort", Annotated[str, Meta(extra_json_schema={"enum": _orders(collection)})], ""),
            ("cursor", str, ""),
            ("limit", Annotated[int, Meta(ge=1, le=500)], 100),
        ],
        frozen=True,
        forbid_unknown_fields=True,
        kw_only=True,
    )


def _orders(collection: Collection[Any]) -> list[str]:
    names = [sort_name(each) for each in collection.sorts]
    return ["", *names, *(f"-{name}" for name in names)]


def _listing(collection: Collection[Any]) -> dict[str, str]:
    names = "|".join(dict.fromkeys(sort_name(each) for each in names_of(collection.document)))
    return {"pattern": f"^,*(({names})(,+({names}))*)?,*$"}


def _listed(document: Any) -> Any:
    """A document as a list with `fields` has it, for the description of the interface: `_id`, and those named."""
    if not (isinstance(document, type) and issubclass(document, msgspec.Struct)):
        return document  # declared so
    return msgspec.defstruct(
        f"{document.__name__.removesuffix('View')}Listed",
        [
            (each.name, each.type)
            if each.encode_name == "_id"
            else (each.name, each.type | UnsetType, UNSET)
            for each in msgspec.structs.fields(document)
        ],
        kw_only=True,
        rename={each.name: each.encode_name for each in msgspec.structs.fields(document)},
        namespace={"__doc__": document.__doc__},
    )


def _shown_id(collection: Collection[Any]) -> Any:
    told = Meta(
        description="Its name; it never changes.",
        pattern=f"^{collection.id_pattern}$",
        max_length=collection.id_max,
    )
    return Annotated[str, told]


def _bodies(collection: Collection[Any]) -> dict[str, Any]:
    """What each kind of write takes, for the description of the interface; the service checks it field by field."""
    name, kinds, defaults = collection.one.title(), collection.fields, collection.defaults()
    revision = ("revision", Annotated[int, Meta(ge=0, description="The one it was made on.")], 0)

    def field(field_name: str, *, required: bool, whole: bool) -> Any:
        kind = kinds[field_name]
        if required:
            return field_name, kind
        if whole and field_name in defaults:
            return field_name, kind, defaults[field_name]
        return field_name, kind | UnsetType, UNSET

    def struct(suffix: str, told: str, fields: list[Any], **options: Any) -> Any:
        return msgspec.defstruct(
            f"{name}{suffix}", fields, kw_only=True, forbid_unknown_fields=True,
            namespace={"__doc__": told}, **options,
        )  # fmt: skip

    given = [each for each in kinds if each not in collection.later]
    needed = [each for each in collection.needs if each not in collection.hidden]
    return {
        "create": struct(
            "Create",
            f"A new {collection.one}.",
            [
                ("id", _shown_id(collection)),
                *(field(each, required=each in collection.needs, whole=True) for each in given),
            ],
            rename={"id": "_id"},
        ),
        "update": struct(
            "Update",
            f"A change of a {collection.one}.",
            [revision, *(field(each, required=False, whole=False) for each in kinds)],
        ),
        "replace": struct(
            "Replace",
            f"All fields of a {collection.one}.",
            [revision, *(field(each, required=each in needed, whole=True) for each in kinds)],
        ),
    }
