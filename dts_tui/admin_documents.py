"""Documents of the admin collections as text: what lists, filters and descriptions show. No Textual here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias

from dts_core.plain import typed, words
from dts_core.text import clean
from dts_core.views import CollectionView
from dts_tui.filters import Filter, Term
from dts_tui.safe import whole

Doc: TypeAlias = dict[str, Any]
COLLECTIONS: Final = ("users", "namespaces", "vhosts")
"""Those that are browsed here; functions have an area of their own."""
TITLES: Final = {
    "users": "users", "namespaces": "namespaces", "vhosts": "virtual hosts", "tokens": "access tokens",
    "operations": "operations",
}  # fmt: skip
TYPED: Final = frozenset({"namespaces", "vhosts"})
"""Collections where a removal asks for the name."""
HAS: Final = {
    "ssh_pem_cert": "has_key", "key_passphrase": "has_passphrase", "password": "has_password",
}  # fmt: skip
"""Field of a document that says whether a secret is stored."""
_TIMES: Final = ("created_at", "updated_at")


_USES: Final = {
    "switch": ("users", "vhosts"),
    "reset-secret": ("users",),
    "mail-test": ("users",),
    **dict.fromkeys(
        ("run-on-hosts", "add-host", "import-hosts", "set-up", "set-up-again", "remove-setup"),
        ("vhosts",),
    ),
    "shell": ("vhosts",),
}
"""Collections whose documents an action is for; of others all."""


def has_use(name: str, collection: str) -> bool:
    """Whether an action has anything to do with this collection."""
    return collection in _USES.get(name, (collection,))


@dataclass
class Memory:
    """What the lists of documents keep while one looks elsewhere.

    Attributes:
        schemas: The collections, as the server describes them.
        filters: What was filtered for, by collection.
        orders: The order, by collection: a field, `-` before it for the greatest first.
        cursors: What the cursor stood on, by collection.
        names: Ids by the beginning that was asked for, and whether these are all that begin so; by collection.
    """

    schemas: dict[str, CollectionView] = field(default_factory=dict)
    filters: dict[str, str] = field(default_factory=dict)
    orders: dict[str, str] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)
    names: dict[str, dict[str, tuple[list[str], bool]]] = field(default_factory=dict)


def text_of(value: Any) -> str:
    """A value in one line of its own words; not yet cleaned."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return typed.show_list(value)
    if isinstance(value, Mapping):
        return typed.show_mapping(value)
    return "" if value is None else str(value)


def record(document: Doc) -> dict[str, str]:
    """What a filter and an export see."""
    return {"id" if name == "_id" else name: text_of(value) for name, value in document.items()}


def at(document: Doc, name: str = "updated_at") -> datetime | None:
    """A time in a document; None where there is none."""
    value = document.get(name)
    if isinstance(value, datetime):
        return value
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


def facts(document: Doc, view: CollectionView | None, now: datetime) -> list[tuple[str, str, str]]:
    """(name, value, style) of every field: those that can be given first, then what the server adds."""
    first = [each.name for each in view.fields] if view is not None else ["_id"]
    names = [name for name in first if name in document]
    names += [name for name in document if name not in names]
    out: list[tuple[str, str, str]] = []
    for name in names:
        value = document[name]
        if name in _TIMES and (moment := at(document, name)) is not None:
            told = f"{words.moment(moment, now)}   {moment:%Y-%m-%d %H:%M:%S %Z}"
        else:
            told = "\n".join(whole(line) for line in text_of(value).split("\n"))
        style = "strong" if name == "_id" else "text" if told else "faint"
        out.append((clean(name, 60), told or "-", style))
    return out


def asked(wanted: Filter, view: CollectionView | None) -> tuple[dict[str, str], Filter]:
    """What of a filter the server looks for in the whole collection, and what is left for its pages.

    The server looks for a first plain word in the id and the searched texts; `id=ab*` is the beginning of the id.
    """
    query: dict[str, str] = {}
    left: list[Term] = []
    for term in wanted.terms:
        name = _asked_as(term, view)
        if not term.on:
            continue
        if name and name not in query:
            query[name] = term.value.removesuffix("*") if name == "prefix" else term.value
        else:
            left.append(term)
    return query, Filter(tuple(left))


def _asked_as(term: Term, view: CollectionView | None) -> str:
    """The parameter of a list that means the same; empty when there is none."""
    if term.negated or term.regex or view is None or not term.value:
        return ""
    if not term.key:
        return "text"
    stars, commas = term.value.count("*"), term.value.count(",")
    if term.key == "id" and stars == 1 and term.value.endswith("*") and not commas:
        return "prefix" if len(term.value) > 1 else ""
    return term.key if term.key in view.filters and not stars and not commas else ""


def keys(view: CollectionView | None) -> tuple[str, ...]:
    """What `key=value` of a filter may name."""
    if view is None:
        return ()
    named = [each.name for each in view.fields if each.type != "secret" and each.name != "_id"]
    return tuple(dict.fromkeys(["id", *named, *view.filters, *_TIMES, *HAS.values()]))
