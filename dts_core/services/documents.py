"""One collection of admin documents, typed: which fields a request may give, how a document is stored."""

from collections.abc import Callable, Mapping
from collections.abc import Collection as Names
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from dts_core.errors import InvalidInput, NotFound
from dts_core.model import Function, HostDrain, Namespace, QueuePause, Token, User
from dts_core.stores.base import Store

Doc = TypeVar("Doc", User, Namespace, Function, Token, QueuePause, HostDrain)


class Collection(msgspec.Struct, Generic[Doc], frozen=True, kw_only=True):
    """What is declared once of each admin collection.

    `fields` are what PATCH may change, each with its type; POST takes the same and `_id`. `secret` names stored fields
    that an operation shows only as a keyed hash; `shown` shortens long ones.
    """

    name: str
    one: str
    """What a document of it is called in messages."""
    kind: type[Doc]
    fields: Mapping[str, Any]
    secret: frozenset[str] = frozenset()
    shown: Mapping[str, Callable[[Any], Any]] = {}

    def encode(self, document: Doc) -> bytes:
        """The document as it is stored."""
        return msgspec.msgpack.encode(document)

    def decode(self, stored: bytes) -> Doc:
        """The document from the store."""
        document: Doc = _decoder(self.kind).decode(stored)
        return document

    async def find(self, store: Store, doc_id: str) -> Doc | None:
        """The document, or None."""
        stored = await store.get_document(self.name, doc_id)
        return None if stored is None else self.decode(stored)

    async def load(self, store: Store, doc_id: str) -> Doc:
        """The document.

        Raises:
            NotFound: There is none.
        """
        document = await self.find(store, doc_id)
        if document is None:
            raise NotFound(f"there is no {self.one} {doc_id[:120]!r}.")
        return document

    async def page(
        self, store: Store, *, after: str = "", limit: int = 100, prefix: str = ""
    ) -> tuple[list[Doc], str]:
        """Documents by id above `after`, and the cursor of the next page (empty at the end)."""
        rows = await store.find_documents(self.name, after=after, limit=limit + 1, prefix=prefix)
        following = rows[limit - 1][0] if len(rows) > limit else ""
        return [self.decode(stored) for _, stored in rows[:limit]], following

    def accept(self, body: Mapping[str, Any], *, besides: Names[str] = ()) -> dict[str, Any]:
        """The fields of a request, each converted to its type.

        Args:
            body: What the request gave.
            besides: Names that are allowed and left out here (`_id`, `revision`).

        Raises:
            InvalidInput: Names every field that is unknown, cannot be changed, or is of another type.
        """
        wrong = {name: self._why_not(name) for name in body if name not in (*self.fields, *besides)}
        accepted = {}
        for name in body.keys() & self.fields.keys():
            try:
                accepted[name] = msgspec.convert(body[name], self.fields[name])
            except msgspec.ValidationError as error:
                wrong[name] = str(error)
        if wrong:
            raise InvalidInput(
                f"the {self.one} cannot be written: "
                + "; ".join(f"{name[:60]}: {why}" for name, why in list(wrong.items())[:5])
                + ".",
                fields=dict(list(wrong.items())[:50]),
                advice=f"A {self.one} has the fields {', '.join(self.fields)}.",
            )
        return accepted

    def _why_not(self, name: str) -> str:
        stored = self.kind.__struct_fields__
        return "cannot be changed" if name in stored or name == "_id" else "unknown field"


@lru_cache(maxsize=8)
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def given_id(body: Mapping[str, Any]) -> str:
    """The `_id` of a creation.

    Raises:
        InvalidInput: It is missing or no text.
    """
    doc_id = body.get("_id")
    if not isinstance(doc_id, str):
        raise InvalidInput("the document needs an _id.", fields={"_id": "a text is required"})
    return doc_id


def given_revision(body: Mapping[str, Any]) -> int:
    """The `revision` of a change; 0 when it gave none.

    Raises:
        InvalidInput: It is no positive integer.
    """
    revision = body.get("revision", 0)
    if isinstance(revision, bool) or not isinstance(revision, int) or revision < 0:
        raise InvalidInput(
            "revision must be an integer from 1.", fields={"revision": "an integer from 1"}
        )
    return revision
