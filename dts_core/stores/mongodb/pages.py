"""One page of jobs in bounded time, whatever combination of filters is asked for.

Each filter has an index that ends in `seq`. The filter whose next few thousand entries reach furthest is the rarest:
its reach bounds the page, so that whichever index MongoDB picks, a bounded number of documents is looked at.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import NamedTuple

from dts_core.errors import InvalidInput
from dts_core.model import Job, JobQuery, Page
from dts_core.stores import limits
from dts_core.stores.fields import micros
from dts_core.stores.limits import PAGE_MAX
from dts_core.stores.mongodb.driver import ASCENDING, DESCENDING, Collection, Doc
from dts_core.stores.mongodb.jobdocs import LISTED, job_of


class _Range(NamedTuple):
    """Inclusive bounds of seq, and the direction."""

    low: int
    high: int
    newest_first: bool

    @property
    def order(self) -> int:
        return DESCENDING if self.newest_first else ASCENDING

    @property
    def where(self) -> Doc:
        return {"seq": {"$gte": self.low, "$lte": self.high}}

    def until(self, bound: int | None) -> "_Range":
        """The part up to and including `bound`."""
        if bound is None:
            return self
        return self._replace(low=bound) if self.newest_first else self._replace(high=bound)

    def furthest(self, bounds: Sequence[int | None]) -> int | None:
        """Of several bounds the one met last; None means the end of the range."""
        met = [bound for bound in bounds if bound is not None]
        if len(met) < len(bounds) or not met:
            return None
        return min(met) if self.newest_first else max(met)


async def find_jobs(jobs: Collection, query: JobQuery) -> Page[Job]:
    """See `JobStore.find_jobs`. `since` is inclusive, `until` exclusive.

    Raises:
        InvalidInput: The limit is out of bounds, or the cursor is none of ours.
    """
    if not 1 <= query.limit <= PAGE_MAX:
        raise InvalidInput(
            f"limit {query.limit} is not in 1..{PAGE_MAX}.", fields={"limit": f"1..{PAGE_MAX}"}
        )
    span = await _range(jobs, query)
    if span.low > span.high:
        return Page([])
    filters = _filters(query)
    bound = await _bound(jobs, span, filters, has_text=bool(query.text))
    part = span.until(bound)
    conditions = [part.where, *filters, *_text(query)]
    found = jobs.find({"$and": conditions}, LISTED).sort("seq", span.order).limit(query.limit + 1)
    items: list[Job] = []
    size = at = 0
    async for doc in found:
        if len(items) == query.limit or size >= limits.PAGE_BYTES:
            return Page(items, f"{at:x}")
        items.append(job_of(doc))
        size += len(doc["doc"])
        at = doc["seq"]
    return Page(items, "" if bound is None else f"{bound:x}")


async def _range(jobs: Collection, query: JobQuery) -> _Range:
    low, high = 1, 1 << 62
    if query.text:
        low = await _step(jobs, _Range(low, high, True), {}, limits.TEXT_NEWEST) or low
    if query.since is not None:
        low = max(low, await newest_before(jobs, micros(query.since)) + 1)
    if query.until is not None:
        high = await newest_before(jobs, micros(query.until))
    if query.cursor:
        try:
            at = int(query.cursor, 16)
        except ValueError:
            raise InvalidInput(
                "the cursor is none of ours.", fields={"cursor": "as the last page gave it"}
            ) from None
        low, high = (low, min(high, at - 1)) if query.newest_first else (max(low, at + 1), high)
    return _Range(max(low, 1), high, query.newest_first)


async def newest_before(jobs: Collection, created: int) -> int:
    """The seq of the newest job created before, 0 when there is none; `created` grows with seq."""
    async for doc in (
        jobs.find({"created": {"$lt": created}}, {"seq": 1})
        .sort([("created", DESCENDING), ("seq", DESCENDING)])
        .limit(1)
    ):
        return int(doc["seq"])
    return 0


def _filters(query: JobQuery) -> list[Doc]:
    filters: list[Doc] = []
    if query.state:
        filters.append({"state": {"$in": sorted({state.value for state in query.state})}})
    filters += [
        {field: value}
        for field, value in (
            ("function", query.function),
            ("namespace", query.namespace),
            ("host", query.host),
            ("submitter", query.submitter),
        )
        if value
    ]
    if query.visible_namespaces is not None:
        inner: Doc = {"namespace": {"$in": sorted(set(query.visible_namespaces))}}
        own: Doc = {"submitter": query.visible_to}
        filters.append({"$or": [inner, own]} if query.visible_to else inner)
    return filters


def _text(query: JobQuery) -> list[Doc]:
    if not query.text:
        return []
    needle = {"$regex": re.escape(query.text), "$options": "i"}
    return [{"$or": [{field: needle} for field in ("_id", "function", "reason")]}]


async def _bound(
    jobs: Collection, span: _Range, filters: Sequence[Doc], *, has_text: bool
) -> int | None:
    """Where the look ends, None when it may go to the end of the range."""
    if not filters:
        return await _step(jobs, span, {}, limits.TEXT_WINDOW) if has_text else None
    if len(filters) == 1 and not has_text:
        return None
    reaches = await asyncio.gather(*(_step(jobs, span, each, limits.WINDOW) for each in filters))
    return span.furthest(reaches)


async def _step(jobs: Collection, span: _Range, where: Doc, entries: int) -> int | None:
    """The seq of the last of `entries` jobs, None when there are fewer."""
    found = (
        jobs.find({"$and": [span.where, where]}, {"seq": 1, "_id": 0})
        .sort("seq", span.order)
        .skip(entries - 1)
        .limit(1)
    )
    async for doc in found:
        return int(doc["seq"])
    return None
