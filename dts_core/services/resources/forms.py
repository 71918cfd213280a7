"""What a form needs to know of a collection, made from its declaration."""

from collections.abc import Sequence
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from msgspec import Meta

from dts_core.model import Parameter
from dts_core.services.documents import Collection, extra_of
from dts_core.views import CollectionView

_TYPES = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "switch",
    list: "list",
    dict: "mapping",
}
_ID = Parameter(
    name="_id", kind="keyword", type="text", help="Given at creation; it never changes."
)


def describe(collection: Collection[Any]) -> CollectionView:
    """How its documents are written and listed."""
    defaults = collection.defaults()
    fields = [_ID] + [
        _parameter(name, kind, name in collection.needs, defaults, name in collection.hidden)
        for name, kind in collection.fields.items()
    ]
    return CollectionView(
        name=collection.name,
        one=collection.one,
        fields=fields,
        filters=[*collection.filters],
        sorts=[sort_name(each) for each in collection.sorts],
    )


def sort_name(stored: str) -> str:
    """A stored field as a request names it."""
    return "_id" if stored == "id" else stored


def _parameter(
    name: str, kind: Any, needed: bool, defaults: dict[str, Any], hidden: bool
) -> Parameter:
    plain, metas = _parts(kind)
    choices = list(get_args(plain)) if get_origin(plain) is Literal else []
    told = _TYPES.get(get_origin(plain) or plain, "any")
    return Parameter(
        name=name,
        kind="keyword",
        type="secret" if hidden else "choice" if choices else told,
        annotation="lines" if extra_of(kind).get("lines") else "",
        choices=choices,
        required=needed,
        optional=NoneType in get_args(plain),
        default=defaults.get(name),
        help=next((each.description for each in metas if each.description), ""),
    )


def _parts(kind: Any) -> tuple[Any, Sequence[Meta]]:
    if get_origin(kind) is not Annotated:
        return kind, ()
    plain, *metas = get_args(kind)
    return plain, [each for each in metas if isinstance(each, Meta)]
