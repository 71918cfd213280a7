"""The chain of the operations that one process writes: each names the one before it and what others had written.

A chain belongs to one process and ends with it, or with a write whose outcome nobody knows: the next record then begins
a chain of its own, so that a number that was never stored is no gap. Of other chains a record names the heads that no
record of its own has named: whoever cuts the end of one chain is told on by the others. `verifying` reads all of it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from dts_core.deadline import time_left
from dts_core.errors import Conflict, NotFound, StoreUnavailable
from dts_core.model import ChainHead, Operation
from dts_core.names import new_id
from dts_core.stores.base import Recorded, Store
from dts_core.stores.limits import DOCUMENTS_MAX

TURN_SECONDS: Final = 30.0
"""How long a write waits for those before it when nobody waits for its answer."""
HEADS_MAX: Final = 64
"""Heads that one record names; what is left is for the next one."""
_DIGEST: Final = "digest"


class Link(msgspec.Struct, frozen=True):
    """What of a record belongs to its chain; of any version's record."""

    chain: str = ""
    number: int = 0
    position: int = 0
    previous: str = ""
    heads: list[ChainHead] = []
    digest: str = ""

    @property
    def head(self) -> ChainHead:
        """As later records name it."""
        return ChainHead(
            chain=self.chain, number=self.number, position=self.position, digest=self.digest
        )


NO_LINK: Final = Link()
"""Of records of versions that knew no chains."""
_links: Final = msgspec.msgpack.Decoder(Link)


def digest_of(content: bytes) -> str:
    """The digest of a record: sha256 in hex over all of its fields but the digest, by name, as MessagePack.

    Fields that only a newer version knows count like all others.

    Args:
        content: The record as MessagePack, with or without its digest.
    """
    fields: dict[str, Any] = msgspec.msgpack.decode(content)
    fields.pop(_DIGEST, None)
    return hashlib.sha256(msgspec.msgpack.encode(fields, order="deterministic")).hexdigest()


def link_of(content: bytes) -> Link | None:
    """The link of a stored record; None when it is not whole: damaged, or its digest is not of its content."""
    try:
        link = _links.decode(content)
        if link == NO_LINK:
            return link
        # Packed as it is packed here, byte for byte: two values under one name would be read as the second alone.
        is_plain = msgspec.msgpack.encode(msgspec.msgpack.decode(content)) == content
        return link if is_plain and link.digest == digest_of(content) else None
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError, AttributeError):
        return None


class Chain:
    """The chain of this process; writes take turns, so that numbers follow the order of writing.

    Args:
        store: Where the operations go.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = asyncio.Lock()
        self._head: ChainHead | None = None
        self._chain = new_id()
        self._looked_up_to = 0
        self._news: dict[str, ChainHead] = {}

    @property
    def head(self) -> ChainHead | None:
        """The newest record that is known to be stored; None before the first."""
        return self._head

    @asynccontextmanager
    async def link(self, operation: Operation) -> AsyncIterator[Operation]:
        """The operation as the next record of the chain; what is inside has to store it, just as it is.

        Conflict and NotFound say that nothing was stored: the number goes to the next record. After anything else that
        is raised inside nobody knows, and the chain ends.

        Raises:
            StoreUnavailable: The turn did not come in time, or the store does not answer. Nothing is stored.
        """
        async with self._in_turn():
            linked = await self._linked(operation)
            try:
                yield linked
            except (Conflict, NotFound):
                raise
            except BaseException:
                self._begin_anew()
                raise
            self._head = ChainHead(
                chain=linked.chain,
                number=linked.number,
                position=linked.position,
                digest=linked.digest,
            )
            for named in linked.heads:
                self._news.pop(named.chain, None)

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(time_left(TURN_SECONDS)):
                await self._turn.acquire()
        except TimeoutError:
            raise StoreUnavailable(
                "too many writes wait for the audit's record of those before them."
            ) from None
        try:
            yield
        finally:
            self._turn.release()

    async def _linked(self, operation: Operation) -> Operation:
        await self._look()
        # Taken after the look: whatever is named lies before.
        position = await self._store.next_operation()
        before = self._head
        linked = msgspec.structs.replace(
            operation,
            position=position,
            chain=self._chain,
            number=1 if before is None else before.number + 1,
            previous="" if before is None else before.digest,
            heads=list(self._news.values())[:HEADS_MAX],
        )
        return msgspec.structs.replace(linked, digest=digest_of(msgspec.msgpack.encode(linked)))

    async def _look(self) -> None:
        """See what others have written since the last look; at the first one, what they wrote last."""
        if self._looked_up_to:
            found = await self._store.recorded(after=self._looked_up_to, limit=DOCUMENTS_MAX)
        else:
            newest = await self._store.operations(limit=DOCUMENTS_MAX)
            after = newest[-1][0] - 1 if newest else 0
            found = await self._store.recorded(after=after, limit=DOCUMENTS_MAX)
        if found:
            self._looked_up_to = found[-1].position
            self._news = unnamed(self._news, found, self._chain)

    def _begin_anew(self) -> None:
        if self._head is not None:
            self._news[self._head.chain] = self._head
        self._head, self._chain, self._looked_up_to = None, new_id(), 0


def unnamed(
    known: dict[str, ChainHead], records: Sequence[Recorded], own: str = ""
) -> dict[str, ChainHead]:
    """The heads that no later record names, by chain.

    Args:
        known: Those of before.
        records: What was written since, by position.
        own: A chain that is left out.
    """
    heads = dict(known)
    for record in records:
        link = link_of(record.content)
        if link is None or not link.chain or link.chain == own:
            continue
        for named in link.heads:
            if named.chain in heads and heads[named.chain].number <= named.number:
                del heads[named.chain]
        if link.chain not in heads or heads[link.chain].number < link.number:
            heads[link.chain] = link.head
    return heads
