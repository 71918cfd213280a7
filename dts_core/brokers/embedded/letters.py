"""The dead letters that the file keeps: see them, send them again, throw them away."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from dts_core.brokers.base import DeadLetter, Outgoing
from dts_core.brokers.embedded import journal
from dts_core.brokers.embedded.outlets import Outlets
from dts_core.brokers.embedded.publishing import Publisher
from dts_core.sqlite import Connection, Database

PAGE_MAX: Final = 500


class Letters:
    """What an operator does with dead letters; see Broker for each method."""

    def __init__(self, database: Database, outlets: Outlets, publisher: Publisher) -> None:
        self._database = database
        self._outlets = outlets
        self._publisher = publisher

    async def page(self, limit: int, before: int) -> list[DeadLetter]:
        """The newest first; `before` a seq pages on. At most 500, fewer of large ones: an empty page is the end."""
        limit = min(max(limit, 1), PAGE_MAX)
        await self._database.write(_nothing)  # what was buried up to now is written down then
        return await self._database.read(
            partial(journal.dead_letters, limit=limit, before=max(before, 0))
        )

    async def discard(self, seqs: Sequence[int]) -> int:
        """Forget dead letters; returns how many there were."""
        taken = await self._database.write(partial(journal.take_dead, seqs=seqs), durable=True)
        self._count(taken)
        return len(taken)

    async def send_again(self, seqs: Sequence[int]) -> int:
        """Publish dead letters again in their queues; returns how many there were.

        Raises:
            QueueNotFound: One of their queues is not declared; nothing is changed.
        """
        await self._database.write(_nothing)
        for queue in await self._database.read(partial(journal.dead_queues, seqs=seqs)):
            self._outlets.known(queue)
        count, after = 0, 0
        while letters := await self._database.read(
            partial(journal.dead_by_seq, seqs=seqs, after=after)
        ):
            count += await self._revive(letters)
            after = letters[-1].seq
        return count

    async def _revive(self, letters: Sequence[DeadLetter]) -> int:
        """Move dead letters back into their queues in one transaction; those taken meanwhile are left out."""
        prepared = self._publisher.prepare(
            [Outgoing(letter.queue, letter.message) for letter in letters]
        )
        numbers = [letter.seq for letter in letters]

        def move(connection: Connection) -> list[tuple[str, bytes]]:
            taken = [journal.take_dead(connection, [seq]) for seq in numbers]
            prepared.write(connection, [index for index, rows in enumerate(taken) if rows])
            return [row for rows in taken for row in rows]

        taken = await self._database.write(move, durable=True)
        prepared.done()
        self._count(taken)
        return len(taken)

    def _count(self, taken: Sequence[tuple[str, bytes]]) -> None:
        for queue, _ in taken:
            if queue in self._outlets:
                self._outlets[queue].queue.figures.dead -= 1


def _nothing(connection: Connection) -> None:
    """A write that only waits for those before it."""
