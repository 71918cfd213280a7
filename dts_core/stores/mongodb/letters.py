"""Dead letters of a broker, kept by the MongoDB store."""

from collections.abc import Sequence

import msgspec

from dts_core.brokers.base import DeadLetter
from dts_core.stores.fields import known_seqs
from dts_core.stores.limits import LETTERS_MAX
from dts_core.stores.mongodb.base import Part
from dts_core.stores.mongodb.driver import (
    ASCENDING,
    DESCENDING,
    VERSION,
    BulkWriteError,
    Doc,
    deadlined,
    only_duplicates,
)
from dts_core.stores.mongodb.positions import FIGURES, next_number

_encoder = msgspec.msgpack.Encoder()
_letter = msgspec.msgpack.Decoder(DeadLetter)


class Letters(Part):
    """The DeadLetterStore. A letter's id is its key."""

    @deadlined
    async def add_dead(self, letters: Sequence[tuple[str, DeadLetter]]) -> None:
        """See DeadLetterStore."""
        if not letters:
            return
        first = await next_number(self._in(FIGURES), "letters", len(letters))
        documents = [
            {
                "_id": key,
                "v": VERSION,
                "seq": seq,
                "queue": letter.queue,
                "doc": _encoder.encode(letter),
            }
            for seq, (key, letter) in enumerate(letters, first)
        ]
        try:
            await self._in("letters").insert_many(documents, ordered=False)
        except BulkWriteError as error:
            only_duplicates(error)

    @deadlined
    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """See DeadLetterStore."""
        where = {"seq": {"$lt": before or 1 << 62}}
        found = self._in("letters").find(where).sort("seq", DESCENDING)
        return [_letter_of(each) async for each in found.limit(min(limit, LETTERS_MAX))]

    @deadlined
    async def get_dead(self, seqs: Sequence[int]) -> list[DeadLetter]:
        """See DeadLetterStore."""
        found = self._in("letters").find({"seq": {"$in": known_seqs(seqs)}})
        return [_letter_of(each) async for each in found.sort("seq", ASCENDING)]

    @deadlined
    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """See DeadLetterStore."""
        gone = await self._in("letters").delete_many({"seq": {"$in": known_seqs(seqs)}})
        return int(gone.deleted_count)

    @deadlined
    async def count_dead(self) -> dict[str, int]:
        """See DeadLetterStore."""
        found = self._in("letters").aggregate(
            [{"$group": {"_id": "$queue", "letters": {"$sum": 1}}}]
        )
        return {each["_id"]: each["letters"] async for each in found}


def _letter_of(doc: Doc) -> DeadLetter:
    return msgspec.structs.replace(_letter.decode(doc["doc"]), seq=doc["seq"])
