"""One page of an admin collection: filtered and sorted, whatever is asked for within a bounded number of rows.

By id a page goes on behind the last id that was looked at; sorted by a field, behind the last (value, id). So what
stands through all pages is met exactly once, whatever is written meanwhile.
"""

import base64
import binascii
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from dts_core.errors import InvalidInput
from dts_core.services.documents import Collection, Doc
from dts_core.stores.base import Store
from dts_core.stores.sorting import Value, comparable

CHUNK: Final = 1000
"""Documents read at once."""
LOOK: Final = 8_000
"""Most documents that one page looks at; it may be short then, with a next.

A tenth of a second where each has a kilobyte, several fields and a busy machine.

Those that are hidden from the asking user do not count: a page that ended at one would name it in its cursor.
"""
FEW: Final = 2_000
"""Most documents below a prefix that are sorted for each page; where there are more, the store's order is walked."""
Key = tuple[Value, str]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which documents, in which order, from where."""

    prefix: str = ""
    """Of the id."""
    text: str = ""
    """Somewhere in the id or in a searched field, whatever the case."""
    where: Mapping[str, Any] = {}
    """Stored field -> its value, or one that is in its list or map."""
    sort: str = ""
    """A stored field, `-` before it for the greatest first; by id when empty."""
    cursor: str = ""
    limit: int = 100
    """1..500"""


async def find(
    store: Store, collection: Collection[Doc], wanted: Wanted, sees: Callable[[str], bool]
) -> tuple[list[Doc], str]:
    """The documents of one page, and the cursor of the next one (empty at the end).

    Args:
        store: Where they are kept.
        collection: Which ones.
        wanted: Filters, order, place.
        sees: Whether the asking user may know of a document, by its id.

    Raises:
        InvalidInput: The cursor is none of ours.
    """
    scan = _Scan(store, collection, wanted, sees)
    if wanted.sort in ("", "id"):
        rows, following = await _by_id(scan, wanted)
    else:
        rows, following = await _by_field(scan, collection, wanted)
    return [collection.decode(stored) for stored in rows], following


class _Scan:
    """Documents by id as they are stored, each with what the filters and the order need of it."""

    def __init__(
        self, store: Store, collection: Collection[Any], wanted: Wanted, sees: Callable[[str], bool]
    ) -> None:
        self._store = store
        self._name = collection.name
        self._prefix = wanted.prefix
        self._sees = sees
        self._matches = matcher(collection, wanted)
        names = {*wanted.where, wanted.sort.removeprefix("-")}
        if wanted.text:
            names |= {"id", *collection.texts}
        kind: Any = collection.kind
        self._part = part_of(kind, frozenset(names))
        self.filters = bool(wanted.where or wanted.text)

    async def ordered(
        self, field: str, behind: Key | None, size: int, *, falling: bool
    ) -> AsyncIterator[tuple[Key, Any, bytes]]:
        """As `rows`, in the order of a field: (value, id), the part, stored."""
        while True:
            rows = await self._store.sorted_documents(
                self._name, field, falling=falling, behind=behind, limit=size
            )
            for value, doc_id, stored in rows:
                if self._sees(doc_id):
                    part = self._part.decode(stored)
                    is_meant = doc_id.startswith(self._prefix) and self._matches(part)
                    yield (value, doc_id), part if is_meant else None, stored
            if len(rows) < size:
                return
            behind = rows[-1][:2]

    async def rows(self, after: str, size: int) -> AsyncIterator[tuple[str, Any, bytes]]:
        """(id, the part or None when it does not match, stored) of those that are seen, read `size` at a time."""
        while True:
            rows = await self._store.find_documents(
                self._name, after=after, limit=size, prefix=self._prefix
            )
            for doc_id, stored in rows:
                if self._sees(doc_id):
                    part = self._part.decode(stored)
                    yield doc_id, part if self._matches(part) else None, stored
            if len(rows) < size:
                return
            after = rows[-1][0]


@lru_cache(maxsize=64)
def part_of(kind: Any, names: frozenset[str]) -> msgspec.msgpack.Decoder[Any]:
    """Reads these fields of a stored document, and passes over the others."""
    fields: list[Any] = []
    for each in msgspec.structs.fields(kind):
        if each.name in names:
            default = {} if each.required else {"default": each.default}
            if each.default_factory is not msgspec.NODEFAULT:
                default = {"default_factory": each.default_factory}
            fields.append((each.name, each.type, msgspec.field(**default)))
    return msgspec.msgpack.Decoder(msgspec.defstruct(f"{kind.__name__}Part", fields, kw_only=True))


def matcher(collection: Collection[Doc], wanted: Wanted) -> Callable[[Any], bool]:
    """Whether a document has what `where` and `text` ask for."""
    text = wanted.text.casefold()

    def matches(document: Any) -> bool:
        for name, value in wanted.where.items():
            held = getattr(document, name)
            if value not in held if isinstance(held, list | dict) else value != held:
                return False
        return not text or any(
            text in getattr(document, name).casefold() for name in ("id", *collection.texts)
        )

    return matches


async def _by_id(scan: _Scan, wanted: Wanted) -> tuple[list[bytes], str]:
    found: list[bytes] = []
    last = ""
    looked = 0
    async for doc_id, part, stored in scan.rows(
        wanted.cursor, CHUNK if scan.filters else wanted.limit + 1
    ):
        looked += 1
        if part is not None:
            if len(found) == wanted.limit:
                return found, last
            found.append(stored)
            last = doc_id
        if looked >= LOOK:
            return found, doc_id
    return found, ""


async def _by_field(
    scan: _Scan, collection: Collection[Any], wanted: Wanted
) -> tuple[list[bytes], str]:
    name, falling = wanted.sort.removeprefix("-"), wanted.sort.startswith("-")
    behind = _key_of(wanted.cursor, _kind_of(collection, name)) if wanted.cursor else None
    few = await _few(scan, name) if wanted.prefix else None
    if few is None:
        return await _along(scan, wanted, name, behind)
    few.sort(key=_first, reverse=falling)
    left = [
        (key, stored)
        for key, stored in few
        if behind is None or (key < behind if falling else key > behind)
    ]
    following = _cursor(left[wanted.limit - 1][0]) if len(left) > wanted.limit else ""
    return [stored for _, stored in left[: wanted.limit]], following


async def _few(scan: _Scan, name: str) -> list[tuple[Key, bytes]] | None:
    """What matches of the documents below a prefix; None: they are too many to be sorted for each page."""
    found: list[tuple[Key, bytes]] = []
    looked = 0
    async for doc_id, part, stored in scan.rows("", CHUNK):
        looked += 1
        if looked > FEW:
            return None
        if part is not None:
            value = doc_id if name == "id" else comparable(getattr(part, name))
            found.append(((value, doc_id), stored))
    return found


async def _along(
    scan: _Scan, wanted: Wanted, name: str, behind: Key | None
) -> tuple[list[bytes], str]:
    """Along the store's own order of a field."""
    found: list[bytes] = []
    last: Key | None = None
    looked = 0
    falling = wanted.sort.startswith("-")
    size = CHUNK if scan.filters or wanted.prefix else wanted.limit + 1
    async for key, part, stored in scan.ordered(name, behind, size, falling=falling):
        looked += 1
        if part is not None:
            if last is not None and len(found) == wanted.limit:
                return found, _cursor(last)
            found.append(stored)
            last = key
        if looked >= LOOK:
            return found, _cursor(key)
    return found, ""


def _first(pair: tuple[Key, Any]) -> Key:
    return pair[0]


def _cursor(key: Key) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def _kind_of(collection: Collection[Any], name: str) -> type[str] | type[int]:
    """Whether a field is compared as a text or as a number, see `comparable`."""
    kind: Any = collection.kind
    declared = next(each.type for each in msgspec.structs.fields(kind) if each.name == name)
    return int if declared in (int, bool, datetime) else str


def _key_of(cursor: str, kind: type[str] | type[int]) -> Key:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        content = base64.b64decode(padded, altchars=b"-_", validate=True)
        value, doc_id = msgspec.json.decode(content, type=tuple[kind, str])  # type: ignore[valid-type]
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise InvalidInput(
            "the cursor is none of ours.", fields={"cursor": "as the last page gave it"}
        ) from error
    return value, doc_id
