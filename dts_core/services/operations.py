"""The audit: who wrote what, and who was refused; and whether it is still as it was written."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from dts_core.clock import Clock
from dts_core.deadline import extended
from dts_core.errors import Conflict, InvalidInput, NotFound
from dts_core.model import ChainHead, Operation
from dts_core.services.chains import Chain
from dts_core.services.verifying import Reading
from dts_core.stores.base import Store
from dts_core.views.operations import (
    FINDINGS_MAX,
    UNCHAINED,
    Checkpoint,
    Difference,
    Finding,
    OperationList,
    OperationView,
    Unchained,
    Verification,
)

CHUNK: Final = 200
"""Records that are asked of the store at once."""
LOOKED_AT: Final = 5_000
"""Most records that one page looks at for those that fit; the next page goes on."""
VERIFY_SECONDS: Final = 900.0
"""Whoever has the whole audit read agrees to wait so long."""
POSITION_DIGITS: Final = 18
"""Of a position; a longer number is no position that a store could hold."""
_Position = Annotated[int, Meta(ge=0, le=1 << 62)]
_Instant = Annotated[datetime, Meta(tz=True)]


class OperationQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which operations: `before` a position pages to older ones, `after` one to newer ones."""

    collection: str = ""
    doc_id: str = ""
    operator: str = ""
    op_type: str = ""
    since: _Instant | None = None
    until: _Instant | None = None
    refused: bool = False
    """Only refused attempts."""
    before: _Position = 0
    after: _Position = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 50

    def fits(self, operation: Operation) -> bool:
        """What the store does not look at."""
        return (not self.op_type or operation.op_type == self.op_type) and (
            not self.refused or bool(operation.refused)
        )


class Operations:
    """Append-only; written with each write by `admin.AdminWriter`, read here.

    Args:
        store: Where they are.
        clock: For the time of checkpoints.
        chain: Of this process: what it wrote must be there.
    """

    def __init__(self, store: Store, clock: Clock, chain: Chain) -> None:
        self._store = store
        self._clock = clock
        self._chain = chain

    async def page(self, query: OperationQuery) -> OperationList:
        """One page, the newest first; it may be short and yet not the last."""
        found: list[OperationView] = []
        at = query.after or query.before
        chunk = CHUNK if query.op_type or query.refused else query.limit + 1
        for _ in range(0, LOOKED_AT, chunk):
            rows = await self._rows(query, at, chunk)
            for position, operation in rows:
                if len(found) == query.limit:
                    return _page(query, found, at)
                at = position
                if query.fits(operation):
                    found.append(_view(position, operation))
            if len(rows) < chunk:
                return _page(query, found, 0)
        return _page(query, found, at)

    async def get(self, key: str) -> OperationView:
        """One operation by its id, or by its position.

        Raises:
            NotFound: There is none.
        """
        if key.isascii() and key.isdigit() and len(key) <= POSITION_DIGITS:
            at = int(key)
            rows = await self._store.operations(before=at + 1, after=max(at - 1, 0), limit=1)
            found = rows[0] if rows and rows[0][0] == at else None
        else:
            found = await self._store.find_operation(key)
        if found is None:
            raise NotFound(
                f"there is no operation {key[:120]!r}.",
                advice="`dts admin operations list` shows their numbers and ids.",
            )
        return _view(*found)

    async def difference(self, collection: str, doc_id: str, of: int, to: int) -> Difference:
        """What changed in a document between two revisions, from its records alone; `of` may be the later one.

        A removal counts as a revision. Of a document that was removed and created again it is the last one.

        Raises:
            NotFound: There are no records of it.
            InvalidInput: It never had such a revision, or the records do not reach back to it.
        """
        low, high = min(of, to), max(of, to)
        changes: dict[str, Any] = {}
        oldest = newest = 0
        async for revision, operation in self._history(collection, doc_id):
            newest = newest or revision
            if revision <= low:
                break
            oldest = revision
            if revision <= high:
                for field, pair in operation.ops.items():
                    if isinstance(pair, list) and len(pair) == 2:
                        after = changes[field][1] if field in changes else pair[1]
                        changes[field] = [pair[0], after]
            if revision == 1:
                break
        _check_revisions(low, high, oldest, newest)
        return Difference(
            collection=collection,
            doc_id=doc_id,
            of=of,
            to=to,
            changes={
                field: pair if of <= to else pair[::-1]
                for field, pair in changes.items()
                if pair[0] != pair[1]
            },
        )

    async def verify(self, checkpoint: Checkpoint | None = None) -> Verification:
        """Read the whole audit and compare it with its chains, and with a checkpoint when there is one."""
        with extended(VERIFY_SECONDS):
            reading, findings = await self._read_twice(checkpoint)
        return Verification(
            records=reading.records,
            chains=len(reading.heads()),
            unchained=reading.unchained,
            findings=findings[:FINDINGS_MAX],
            total=len(findings),
        )

    async def checkpoint(self, *, accept_unchained: bool = False) -> Checkpoint:
        """Where every chain stands.

        Args:
            accept_unchained: Records without a chain behind others that have one are known to be an older server's.

        Raises:
            Conflict: The audit is not as it was written: a checkpoint would hide that.
        """
        with extended(VERIFY_SECONDS):
            reading, findings = await self._read_twice(None)
        if accept_unchained:
            findings = [each for each in findings if each.kind != UNCHAINED]
        if findings:
            raise Conflict(
                f"the audit is not as it was written: {findings[0].kind}: {findings[0].text}",
                advice="`dts admin operations verify` shows every finding.",
            )
        return Checkpoint(
            taken_at=self._clock.now(),
            records=reading.records,
            heads=reading.heads(),
            unchained=reading.unchained_digest(),
        )

    async def _rows(
        self, query: OperationQuery, at: int, limit: int
    ) -> list[tuple[int, Operation]]:
        """In the order of going on."""
        newer = query.after > 0
        rows = await self._store.operations(
            collection=query.collection,
            doc_id=query.doc_id,
            operator=query.operator,
            since=query.since,
            until=query.until,
            before=query.before if newer else at,
            after=at if newer else 0,
            limit=limit,
        )
        return rows[::-1] if newer else rows

    async def _history(self, collection: str, doc_id: str) -> AsyncIterator[tuple[int, Operation]]:
        """(revision, operation) of what was done to a document, newest first."""
        following, at = 0, 0
        while True:
            rows = await self._store.operations(
                collection=collection, doc_id=doc_id, before=at, limit=CHUNK
            )
            for _, operation in rows:
                if operation.refused or (operation.chain and not operation.revision):
                    continue  # it wrote no document
                before = following - 1 if following else await self._revision(collection, doc_id)
                following = operation.revision or before
                if following > 0:
                    yield following, operation
            if len(rows) < CHUNK:
                return
            at = rows[-1][0]

    async def _revision(self, collection: str, doc_id: str) -> int:
        """The revision of the document as it is now; 0 when there is none."""
        stored = await self._store.get_document(collection, doc_id)
        return 0 if stored is None else msgspec.msgpack.decode(stored, type=_Revision).revision

    async def _read_twice(self, checkpoint: Checkpoint | None) -> tuple[Reading, list[Finding]]:
        """A finding counts when it is found again: what was written during the first look may have looked like one."""
        reading = await self._read(checkpoint)
        findings = reading.end()
        if findings:
            reading = await self._read(checkpoint)
            same = {_key(finding) for finding in findings}
            findings = [finding for finding in reading.end() if _key(finding) in same]
        return reading, findings

    async def _read(self, checkpoint: Checkpoint | None) -> Reading:
        own = self._chain.head
        heads: list[tuple[ChainHead, str]] = [(own, "the server's memory")] if own else []
        unchained: Unchained | None = None
        if checkpoint is not None:
            heads += [(head, "the checkpoint") for head in checkpoint.heads]
            unchained = checkpoint.unchained
        reading = Reading(heads, unchained)
        newest = await self._store.operations(limit=1)
        at, end = 0, newest[0][0] if newest else 0
        while at < end:
            rows = await self._store.recorded(after=at, limit=CHUNK)
            for record in rows:
                if record.position <= end:
                    reading.read(record)
            at = rows[-1].position if rows else end
        return reading


class _Revision(msgspec.Struct, frozen=True):
    revision: int = 1


def _view(position: int, operation: Operation) -> OperationView:
    return OperationView(**{**msgspec.structs.asdict(operation), "position": position})


def _page(query: OperationQuery, found: list[OperationView], following: int) -> OperationList:
    return OperationList(items=found[::-1] if query.after else found, next=following)


def _key(finding: Finding) -> tuple[str, int, str, int]:
    return finding.kind, finding.position, finding.chain, finding.number


def _check_revisions(low: int, high: int, oldest: int, newest: int) -> None:
    if not newest:
        raise NotFound(
            "there are no records of that document.",
            advice="`dts admin operations list --collection NAME` shows which there are.",
        )
    if high > newest:
        raise InvalidInput(
            f"the document has no revision {high}: its newest is {newest}.",
            fields={"to": f"at most {newest}"},
        )
    if oldest > low + 1:
        raise InvalidInput(
            f"the records of the document begin with revision {oldest}.",
            fields={"from": f"at least {oldest - 1}"},
        )
