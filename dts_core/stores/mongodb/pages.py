"""One page of jobs in bounded time, whatever combination of filters is asked for.

Each filter has an index that ends in `seq`. The filter whose next few thousand entries reach furthest is the rarest:
its reach bounds the page, so that whichever index MongoDB picks, a bounded number of documents is looked at.
"""

import asyncio
import re
from collections.abc import Sequence

from dts_core.model import Job, JobQuery, Page
from dts_core.stores import limits
from dts_core.stores.fields import micros
from dts_core.stores.mongodb.driver import ASCENDING, DESCENDING, Collection, Doc
from dts_core.stores.mongodb.jobdocs import LISTED, job_of
from dts_core.stores.paging import Span, check_limit, cursor_behind


async def find_jobs(jobs: Collection, query: JobQuery) -> Page[Job]:
    """See `JobStore.find_jobs`. `since` is inclusive, `until` exclusive.

    Raises:
        InvalidInput: The limit is out of bounds, or the cursor is none of ours.
    """
    check_limit(query.limit)
    span = await _span(jobs, query)
    if span.low > span.high:
        return Page([])
    filters = _filters(query)
    bound = await _bound(jobs, span, filters, has_text=bool(query.text))
    part = span.until(bound)
    conditions = [_where(part), *filters, *_text(query)]
    found = jobs.find({"$and": conditions}, LISTED).sort("seq", _order(span)).limit(query.limit + 1)
    items: list[Job] = []
    size = at = 0
    async for doc in found:
        if len(items) == query.limit or size >= limits.PAGE_BYTES:
            return Page(items, cursor_behind(at))
        items.append(job_of(doc))
        size += len(doc["doc"])
        at = doc["seq"]
    return Page(items, "" if bound is None else cursor_behind(bound))


async def _span(jobs: Collection, query: JobQuery) -> Span:
    low, high = 1, 1 << 62
    if query.text:
        low = await _step(jobs, Span(low, high, True), {}, limits.TEXT_NEWEST) or low
    if query.since is not None:
        low = max(low, await newest_before(jobs, micros(query.since)) + 1)
    if query.until is not None:
        high = await newest_before(jobs, micros(query.until))
    return Span(max(low, 1), high, query.newest_first).behind(query.cursor)


async def newest_before(jobs: Collection, created: int) -> int:
    """The seq of the newest job created before, 0 when there is none; `created` grows with seq."""
    async for doc in (
        jobs.find({"created": {"$lt": created}}, {"seq": 1})
        .sort([("created", DESCENDING), ("seq", DESCENDING)])
        .limit(1)
    ):
        return int(doc["seq"])
    return 0


def _order(span: Span) -> int:
    return DESCENDING if span.newest_first else ASCENDING


def _where(span: Span) -> Doc:
    return {"seq": {"$gte": span.low, "$lte": span.high}}


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
    jobs: Collection, span: Span, filters: Sequence[Doc], *, has_text: bool
) -> int | None:
    """Where the look ends, None when it may go to the end of the range."""
    if not filters:
        return await _step(jobs, span, {}, limits.TEXT_WINDOW) if has_text else None
    if len(filters) == 1 and not has_text:
        return None
    reaches = await asyncio.gather(*(_step(jobs, span, each, limits.WINDOW) for each in filters))
    return span.furthest(reaches)


async def _step(jobs: Collection, span: Span, where: Doc, entries: int) -> int | None:
    """The seq of the last of `entries` jobs, None when there are fewer."""
    found = (
        jobs.find({"$and": [_where(span), where]}, {"seq": 1, "_id": 0})
        .sort("seq", _order(span))
        .skip(entries - 1)
        .limit(1)
    )
    async for doc in found:
        return int(doc["seq"])
    return None
