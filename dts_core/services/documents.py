"""One collection of admin documents, typed: which fields a request may give, how a document is stored."""

from collections.abc import Callable, Mapping
from collections.abc import Collection as Names
from functools import lru_cache
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from dts_core.errors import InvalidInput, NotFound
from dts_core.model import (
    Function,
    HostDrain,
    LoginQuestion,
    Namespace,
    QueuePause,
    Token,
    User,
    VirtualHost,
)
from dts_core.names import NAME_MAX, NAME_PATTERN
from dts_core.services.mistakes import Mistakes, without_value
from dts_core.stores.base import Store
from dts_core.views.declared import HIDDEN

Doc = TypeVar(
    "Doc", User, Namespace, Function, Token, QueuePause, HostDrain, VirtualHost, LoginQuestion
)


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
    document: Any = dict[str, Any]
    """A document as it is shown: the type of the answers."""
    id_pattern: str = NAME_PATTERN
    """What an id looks like: for the description of the interface; the service of the collection checks it."""
    id_max: int = NAME_MAX
    """Longest id, in characters: as `id_pattern`."""
    needs: tuple[str, ...] = ()
    """Fields that a creation must give."""
    later: frozenset[str] = frozenset()
    """Fields that only a change may give."""
    filters: Mapping[str, Any] = {}
    """Stored fields that a list may be filtered by, with the type of the value, which may be in a list or map."""
    sorts: tuple[str, ...] = ("id", "created_at", "updated_at")
    """Stored fields that a list may be sorted by."""
    texts: tuple[str, ...] = ()
    """Stored fields that a text is searched in, beside the id."""

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

    def accept(
        self,
        body: Mapping[str, Any],
        *,
        besides: Names[str] = (),
        mistakes: "Mistakes | None" = None,
    ) -> dict[str, Any]:
        """The fields of a request, each converted to its type.

        Args:
            body: What the request gave.
            besides: Names that are allowed and left out here (`_id`, `revision`).
            mistakes: Takes what is wrong, together with other mistakes; raised at once when left out.

        Raises:
            InvalidInput: Names every field that is unknown, cannot be changed, or is of another type.
        """
        found = Mistakes(self.one, advice=self._advice()) if mistakes is None else mistakes
        for name in body:
            if name not in (*self.fields, *besides):
                found.add(name, self._why_not(name))
        accepted = {}
        for name in body.keys() & self.fields.keys():
            try:
                accepted[name] = msgspec.convert(body[name], self.fields[name])
            except msgspec.ValidationError as error:
                found.add(name, expected(self.fields[name], str(error)))
        if mistakes is None:
            found.raise_any()
        return accepted

    def mistakes(self) -> "Mistakes":
        """An empty list of what is wrong with a document of it."""
        return Mistakes(self.one, advice=self._advice())

    @property
    def hidden(self) -> frozenset[str]:
        """Fields that are taken and never shown."""
        declared = {name for name, kind in self.fields.items() if extra_of(kind).get(HIDDEN)}
        return self.secret | declared

    def defaults(self) -> dict[str, Any]:
        """The updatable fields that a document has without being given any."""
        return {
            each.name: each.default_factory()
            if each.default_factory is not msgspec.NODEFAULT
            else each.default
            for each in msgspec.structs.fields(self.kind)
            if each.name in self.fields and not each.required
        }

    def _advice(self) -> str:
        return f"A {self.one} has the fields {', '.join(self.fields)}."

    def _why_not(self, name: str) -> str:
        stored = self.kind.__struct_fields__
        return "cannot be changed" if name in stored or name == "_id" else "unknown field"


def declared(kind: type) -> dict[str, Any]:
    """The fields of a declaration (see `views.declared`), each with its type and what is said of it."""
    return get_type_hints(kind, include_extras=True)


def names_of(document: Any) -> tuple[str, ...]:
    """Names of the fields of a document as it is shown."""
    if isinstance(document, type) and issubclass(document, msgspec.Struct):
        return document.__struct_encode_fields__
    return tuple(getattr(document, "__annotations__", ()))


def extra_of(kind: Any) -> Mapping[str, Any]:
    """What a declared type says beside its type."""
    extra: dict[str, Any] = {}
    if get_origin(kind) is Annotated:
        for meta in get_args(kind)[1:]:
            extra |= getattr(meta, "extra", None) or {}
    return extra


def expected(kind: Any, told: str) -> str:
    """What a field takes, for people: the choices where there are some, else what msgspec says, less what was given."""
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(plain) is Literal:
        return f"one of {', '.join(map(str, get_args(plain)))}"
    return without_value(told.replace("`$", "`").replace(" - at ``", ""))


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
