"""What every admin collection does alike: list, get, create, update, replace, delete, each also as a dry run."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from dts_core.errors import Conflict
from dts_core.services.access import Caller
from dts_core.services.admin import difference
from dts_core.services.documents import given_id
from dts_core.services.mistakes import Mistakes
from dts_core.services.resources.listing import Wanted, find
from dts_core.services.resources.rules import Draft, Kept, Rules
from dts_core.text import clean_lines
from dts_core.views import Dependents, DocumentPage, Written

TOLD_TEXT_MAX: Final = 2000
"""Characters of a text that a conflict shows."""
_MASK: Final = "***"
_NOTHING: Final[Mapping[str, Any]] = {}


class Resource(Rules[Kept]):
    """One admin collection: what all of them do alike, by the rules that it gives itself."""

    async def find(
        self, caller: Caller, wanted: Wanted, *, fields: Sequence[str] = ()
    ) -> DocumentPage[Any]:
        """One page; with `fields` only these of each document, and its `_id`.

        Raises:
            InvalidInput: There is no such field, or the cursor is none of ours.
        """
        found, following = await find(
            self._store, self.collection, wanted, lambda doc_id: self.sees(caller, doc_id)
        )
        return DocumentPage(items=[self.project(each, fields) for each in found], next=following)

    def project(self, document: Kept, fields: Sequence[str]) -> Any:
        """The document as it is shown, or these fields of it and its `_id`."""
        shown = self.view(document)
        if not fields:
            return shown
        plain = _plain(shown)
        return {name: value for name, value in plain.items() if name == "_id" or name in fields}

    async def get(self, caller: Caller, doc_id: str) -> Any:
        """One document as it is shown.

        Raises:
            NotFound: There is none that the caller sees.
        """
        return self.view(await self.load(caller, doc_id))

    async def load(self, caller: Caller, doc_id: str) -> Kept:
        """One document as it is stored. Raises as `get`."""
        found: Kept | None = None
        if self.sees(caller, doc_id):
            found = await self.collection.find(self._store, doc_id)
        if found is None:
            raise self.missing(doc_id)
        return found

    async def create(
        self, caller: Caller, body: Mapping[str, Any], *, dry_run: bool = False
    ) -> Written:
        """Create a document from its `_id` and its fields.

        Raises:
            InvalidInput: Names everything that is wrong.
            Forbidden: The caller may not write it.
            Conflict: It exists.
        """
        collection, mistakes = self.collection, self.collection.mistakes()
        doc_id = ""
        with mistakes.at("_id"):
            doc_id = given_id(body)
            self.check_id(doc_id)
        if "_id" not in mistakes:
            await self.allow(caller, doc_id, "create")
        fields = collection.accept(body, besides=("_id",), mistakes=mistakes)
        for name in collection.later & body.keys():
            mistakes.add(name, "not at creation")
        _require(collection.needs, body, mistakes)
        if "_id" not in mistakes:
            await self.check_new(doc_id, mistakes)
        stored = await self.check(caller, doc_id, fields, mistakes)
        mistakes.raise_any()
        async with self.alone():
            draft = await self.made(caller, doc_id, stored)
            return await self._write(caller, None, draft, "create", fields, dry_run)

    async def update(
        self, caller: Caller, doc_id: str, body: Mapping[str, Any], *, dry_run: bool = False
    ) -> Written:
        """Change the given fields.

        Raises:
            InvalidInput: Names everything that is wrong.
            Forbidden: The caller may not write it.
            NotFound: There is none.
            Conflict: It was changed meanwhile; or the change would leave things out of order.
        """
        return await self._change(caller, doc_id, body, "update", dry_run)

    async def replace(
        self, caller: Caller, doc_id: str, body: Mapping[str, Any], *, dry_run: bool = False
    ) -> Written:
        """Give all updatable fields; those left out take their defaults, a secret stays. Raises as `update`."""
        return await self._change(caller, doc_id, body, "replace", dry_run)

    async def delete(
        self, caller: Caller, doc_id: str, *, revision: int = 0, dry_run: bool = False
    ) -> Written:
        """Remove a document; the answer names what depends on it.

        Raises:
            Forbidden: The caller may not write it.
            NotFound: There is none.
            Conflict: It was changed meanwhile; or the removal would leave things out of order.
        """
        await self.allow(caller, doc_id, "delete")
        async with self.alone():
            return await self._delete(caller, doc_id, revision, dry_run)

    async def _delete(self, caller: Caller, doc_id: str, revision: int, dry_run: bool) -> Written:
        before = await self.load(caller, doc_id)
        await self._expect(caller, before, revision, "delete", _NOTHING, dry_run)
        await self._guarded(caller, before, None, "delete", dry_run)
        dependents = await self.dependents(before)
        if dry_run:
            return Written(
                operation="delete", id=doc_id, revision=before.revision, dry_run=True,
                dependents=dependents,
            )  # fmt: skip
        answer = await self._store_it(caller, before, None, "delete", _NOTHING)
        answer = msgspec.structs.replace(answer, dependents=dependents)
        return await self.written(before, None, answer)

    async def _change(
        self, caller: Caller, doc_id: str, body: Mapping[str, Any], op_type: str, dry_run: bool
    ) -> Written:
        collection, mistakes = self.collection, self.collection.mistakes()
        await self.allow(caller, doc_id, op_type)
        sent = collection.accept(body, besides=("revision",), mistakes=mistakes)
        revision = 0
        with mistakes.at("revision"):
            revision = self.revision_of(body)
        fields = sent
        if op_type == "replace":
            _require(
                [name for name in collection.needs if name not in collection.hidden],
                body, mistakes,
            )  # fmt: skip
            fields = collection.defaults() | sent
        # Before a conflict could show what was sent: in a wrong field may stand what was meant for a secret one.
        stored = await self.check(caller, doc_id, fields, mistakes)
        mistakes.raise_any()
        async with self.alone():
            before = await self.load(caller, doc_id)
            await self._expect(caller, before, revision, op_type, sent, dry_run)
            draft = await self.changed(caller, before, stored)
            await self._guarded(caller, before, draft.document, op_type, dry_run)
            return await self._write(caller, before, draft, op_type, sent, dry_run)

    async def _guarded(
        self, caller: Caller, before: Kept, after: Kept | None, op_type: str, dry_run: bool
    ) -> None:
        """As `guard`; a refusal is recorded."""
        try:
            await self.guard(before, after)
        except Conflict as error:
            if not dry_run:
                name = self.collection.name
                await self._writer.refused(caller, name, before.id, op_type, error)
            raise

    async def _write(
        self,
        caller: Caller,
        before: Kept | None,
        draft: Draft[Kept],
        op_type: str,
        sent: Mapping[str, Any],
        dry_run: bool,
    ) -> Written:
        after = draft.document
        if not dry_run:
            answer = await self._store_it(caller, before, draft, op_type, sent)
            return await self.written(before, after, answer)
        if before is None and await self._store.get_document(self.collection.name, after.id):
            raise Conflict(
                f"{self.collection.one} {after.id} exists already.",
                advice="Change it, or choose another _id.",
            )
        return Written(
            operation=op_type,
            id=after.id,
            revision=1 if before is None else before.revision + 1,
            dry_run=True,
            changes=self._changes(before, after),
        )

    async def _store_it(
        self,
        caller: Caller,
        before: Kept | None,
        draft: Draft[Kept] | None,
        op_type: str,
        sent: Mapping[str, Any],
    ) -> Written:
        document = None if draft is None else draft.document
        blobs = draft.blobs if draft is not None else self.leaves(before)
        try:
            answer = await self._writer.write(
                caller, self.collection, before, document, op_type=op_type, blobs=blobs
            )
        except Conflict as error:
            if before is None:
                raise
            raise await self._both(error, before.id, sent) from error
        await self.settle(caller, before, document)
        return msgspec.structs.replace(answer, operation=op_type)

    async def _expect(
        self,
        caller: Caller,
        before: Kept,
        revision: int,
        op_type: str,
        sent: Mapping[str, Any],
        dry_run: bool,
    ) -> None:
        """Let pass a change of the newest revision; a dry run leaves no record of a refusal."""
        if revision in (0, before.revision):
            return
        if dry_run:
            stale = Conflict(f"{self.collection.one} {before.id} was changed meanwhile.")
            raise await self._both(stale, before.id, sent)
        try:
            await self._writer.expect(caller, self.collection, before, revision, op_type)
        except Conflict as error:
            raise await self._both(error, before.id, sent) from error

    async def _both(self, error: Conflict, doc_id: str, sent: Mapping[str, Any]) -> Conflict:
        """The conflict with both versions: the document as it is shown now, and what was sent."""
        now = await self.collection.find(self._store, doc_id)
        if now is None:
            return error
        current = _plain(self.view(now))
        differ = [name for name in sent if name not in current or current[name] != sent[name]]
        hidden = self.collection.hidden
        shown = {name: _short(value) for name, value in sent.items() if name not in hidden}
        told = {"current": current, "sent": shown, "differ": sorted(differ)}
        return Conflict(error.message, advice=error.advice, told=told)

    def _changes(self, before: Kept | None, after: Kept) -> dict[str, Any]:
        changes = difference(self.collection, before, after, b"shown to nobody")
        return {
            name: [value and _MASK for value in pair] if name in self.collection.secret else pair
            for name, pair in changes.items()
        }


def refused_removal(document: str, dependents: Sequence[Dependents], *, advice: str) -> Conflict:
    """The error for a removal that would leave others without what they need; says which."""
    named = ", ".join(
        f"{'at least ' if each.at_least else ''}{each.total} {each.collection}"
        f" ({', '.join(each.ids)}{', ...' if each.total > len(each.ids) else ''})"
        for each in dependents
    )
    return Conflict(
        f"{document} still has {named}.",
        advice=advice,
        told={"dependents": [msgspec.to_builtins(each) for each in dependents]},
    )


def _require(names: Sequence[str], body: Mapping[str, Any], mistakes: Mistakes) -> None:
    for name in names:
        if name not in body:
            mistakes.add(name, "required")


def _plain(shown: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(shown, builtin_types=(datetime,))
    return plain


def _short(value: Any) -> Any:
    return clean_lines(value, TOLD_TEXT_MAX) if isinstance(value, str) else value


__all__ = ["Draft", "Kept", "Resource", "Wanted", "refused_removal"]
