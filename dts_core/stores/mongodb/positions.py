"""Sequences whose readers never pass a number that is written later.

A writer takes numbers, writes under them, and settles. Numbers that are taken and not settled are open; readers look no
further than before the oldest open one. One that stays open too long (its writer is gone) is passed over; a writer that
comes back after that finds out when it settles, and writes again under new numbers.

Settling counts, too, and in the same write. So each number that was taken is either settled and counted, once, or
passed over: what was passed over may have been written and was not counted, and `uncounted` tells of it.

All of it is one small document for each sequence, changed in single writes, by the server's own clock.
"""

import time
from typing import Any, Final, NamedTuple

from dts_core.errors import StoreError
from dts_core.names import new_id
from dts_core.stores.mongodb.driver import (
    VERSION,
    Collection,
    Doc,
    DuplicateKeyError,
    ReturnDocument,
)

FIGURES: Final = "figures"
NOW: Final[Doc] = {"$toLong": "$$NOW"}
"""The server's clock in an aggregation expression, in milliseconds."""
STALE_LEAST_SECONDS: Final = 30.0
FIRST_TRIES: Final = 5
"""Several who begin a sequence at the same instant may be told that it is there already, or nothing at all."""


class Taken(NamedTuple):
    """Numbers of one writer, from `first` on."""

    mark: str
    first: int
    created: int
    """The highest time of creation of those who took before, in microseconds."""
    until: float
    """Monotonic time after which nothing may be written under them any more."""

    def is_fresh(self) -> bool:
        """Whether they may still be written under."""
        return time.monotonic() < self.until


class Positions:
    """One sequence. `prepare` makes it once."""

    def __init__(self, figures: Collection, name: str, deadline_seconds: float) -> None:
        self._figures = figures
        self._name = name
        self._stale_seconds = max(STALE_LEAST_SECONDS, 3 * deadline_seconds)
        self._unsure = 0

    async def prepare(self) -> None:
        """Begin the sequence at 0, unless there is one."""
        await self._figures.update_one(
            {"_id": self._name},
            {"$setOnInsert": {"seq": 0, "created": 0, "open": [], "v": VERSION}},
            upsert=True,
        )

    async def take(self, count: int, *, created: int = 0) -> Taken:
        """Take `count` numbers; in microseconds `created` is when the newest of what they are for was made."""
        mark = new_id()
        until = time.monotonic() + self._stale_seconds / 2
        entry: Doc = {
            "m": mark,
            "first": {"$add": ["$seq", 1]},
            "created": "$created",
            "until": {"$add": [NOW, int(self._stale_seconds * 1000)]},
        }
        found: Doc | None = await self._figures.find_one_and_update(
            {"_id": self._name},
            [
                {
                    "$set": {
                        "lapsed": _LAPSED,
                        "open": {"$concatArrays": [_STILL_OPEN, [entry]]},
                        "seq": {"$add": ["$seq", count]},
                        "created": {"$max": ["$created", created]},
                    }
                },
            ],
            projection={"open": 1},
            return_document=ReturnDocument.AFTER,
        )
        if found is None:
            raise StoreError(
                f"the database lost its sequence {self._name!r} while it was used.",
                advice="Restart dts; restore the database if data is missing.",
            )
        mine = next(each for each in found["open"] if each["m"] == mark)
        return Taken(mark, int(mine["first"]), int(mine["created"]), until)

    async def settle(self, taken: Taken, increments: dict[str, int] | None = None) -> bool:
        """End what was taken, and count in the same write; False: readers have passed it already, nothing is counted.

        The same again counts nothing either: an answer that is lost may be asked for once more.
        """
        unsure, self._unsure = self._unsure, 0
        increments = {**(increments or {})}
        if unsure:
            increments["lapsed"] = unsure
        update: Doc = {"$pull": {"open": {"m": taken.mark}}}
        if increments:
            update["$inc"] = increments
        try:
            found: Doc | None = await self._figures.find_one_and_update(
                {"_id": self._name, "open.m": taken.mark}, update, projection={"_id": 1}
            )
        except BaseException:
            self._unsure += unsure
            raise
        if found is None:
            self.doubt()  # a look at the counts may have been before the write
            self._unsure += unsure
        return found is not None

    def doubt(self) -> None:
        """Something beside the sequence may not be counted; said in the database with the next settling."""
        self._unsure += 1

    async def uncounted(self) -> tuple[int, bool]:
        """How often, in all, something was written that may not be counted; and whether that was `mended` since."""
        await self.settle(await self.take(0))
        found = await self._figures.find_one({"_id": self._name}, {"lapsed": 1, "mended": 1})
        lapsed = int((found or {}).get("lapsed", 0))
        return lapsed, lapsed == (found or {}).get("mended", 0)

    async def mended(self, lapsed: int) -> None:
        """Everything up to there is counted."""
        await self._figures.update_one({"_id": self._name}, {"$set": {"mended": lapsed}})

    async def safe(self) -> int:
        """The number up to which everything is written."""
        look: list[dict[str, Any]] = [
            {"$match": {"_id": self._name}},
            {"$project": {"seq": 1, "open": _STILL_OPEN}},
        ]
        async for found in self._figures.aggregate(look):
            return min(
                (int(each["first"]) - 1 for each in found["open"]), default=int(found["seq"])
            )
        return 0


_STILL_OPEN: Final[Doc] = {"$filter": {"input": "$open", "cond": {"$gt": ["$$this.until", NOW]}}}
_LAPSED: Final[Doc] = {
    "$add": [
        {"$ifNull": ["$lapsed", 0]},
        {"$subtract": [{"$size": "$open"}, {"$size": _STILL_OPEN}]},
    ]
}


async def next_number(figures: Collection, name: str, count: int = 1) -> int:
    """The first of `count` new numbers of a sequence that nobody follows.

    Raises:
        StoreError: The database keeps no such sequence.
    """
    for _ in range(FIRST_TRIES):
        try:
            found: Doc | None = await figures.find_one_and_update(
                {"_id": name},
                {"$inc": {"seq": count}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            continue
        if found is not None:
            return int(found["seq"]) - count + 1
    raise StoreError(f"the sequence {name!r} cannot be counted on.")
