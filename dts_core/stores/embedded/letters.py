"""Dead letters of another broker, kept by the embedded store."""

from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core.brokers.base import DeadLetter
from dts_core.sqlite import Connection, all_rows, one_row
from dts_core.stores.embedded.base import Part
from dts_core.stores.fields import known_seqs
from dts_core.stores.limits import LETTERS_MAX

_encoder = msgspec.msgpack.Encoder()
_letter = msgspec.msgpack.Decoder(DeadLetter)
_INSERT: Final = "INSERT INTO letters(key, queue, doc) VALUES(?,?,?) ON CONFLICT(key) DO NOTHING"


class Letters(Part):
    """The DeadLetterStore."""

    async def add_dead(self, letters: Sequence[tuple[str, DeadLetter]]) -> None:
        """See DeadLetterStore."""
        rows = [(key, letter.queue, _encoder.encode(letter)) for key, letter in letters]

        def work(connection: Connection) -> None:
            connection.executemany(_INSERT, rows)

        await self._write(work, durable=True)

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """See DeadLetterStore."""

        def work(connection: Connection) -> list[DeadLetter]:
            rows = connection.execute(
                "SELECT seq, doc FROM letters WHERE seq<? ORDER BY seq DESC LIMIT ?",
                (before or 1 << 62, min(limit, LETTERS_MAX)),
            )
            return [_letter_of(seq, doc) for seq, doc in rows]

        return await self._read(work)

    async def get_dead(self, seqs: Sequence[int]) -> list[DeadLetter]:
        """See DeadLetterStore."""
        wanted = known_seqs(seqs)

        def work(connection: Connection) -> list[DeadLetter]:
            rows = (
                one_row(connection, "SELECT seq, doc FROM letters WHERE seq=?", (seq,))
                for seq in wanted
            )
            return [_letter_of(*row) for row in rows if row is not None]

        return await self._read(work)

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """See DeadLetterStore."""
        wanted = known_seqs(seqs)

        def work(connection: Connection) -> int:
            removed = 0
            for seq in wanted:
                connection.execute("DELETE FROM letters WHERE seq=?", (seq,))
                removed += connection.changes()
            return removed

        return await self._write(work, durable=True)

    async def count_dead(self) -> dict[str, int]:
        """See DeadLetterStore."""
        counts = "SELECT queue, count(*) FROM letters GROUP BY queue"
        return dict(await self._read(lambda connection: all_rows(connection, counts)))


def _letter_of(seq: int, doc: bytes) -> DeadLetter:
    return msgspec.structs.replace(_letter.decode(doc), seq=seq)
