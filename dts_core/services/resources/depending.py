"""What depends on a document: a few of it by id, and how many there are, within a bounded look."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dts_core.model import JobQuery
from dts_core.services.documents import Collection, Doc
from dts_core.services.resources.listing import Wanted, find
from dts_core.states import FINAL, JobState
from dts_core.stores.base import Store
from dts_core.views import Dependents

OPEN: Final = tuple(state for state in JobState if state not in FINAL)
"""States of jobs that are not over."""
SHOWN: Final = 10
"""Ids that are named."""
COUNTED: Final = 100
"""Most that are counted one by one; beyond, the total is told as `at_least`."""


async def holding(
    store: Store,
    collection: Collection[Doc],
    where: Mapping[str, Any],
    *,
    prefix: str = "",
) -> Dependents:
    """Documents of a collection whose fields hold these values, or whose ids begin so."""
    wanted = Wanted(where=where, prefix=prefix, limit=COUNTED)
    found, following = await find(store, collection, wanted, lambda _: True)
    return some(collection.name, [each.id for each in found], at_least=bool(following))


async def open_jobs(store: Store, function: str) -> Dependents:
    """Jobs of a function that are not over."""
    page = await store.find_jobs(JobQuery(function=function, state=OPEN, limit=COUNTED))
    return some("jobs", [job.id for job in page.items], at_least=bool(page.next))


def some(
    collection: str, ids: Sequence[str], *, total: int | None = None, at_least: bool = False
) -> Dependents:
    """Of these ids the first few; `total` where it is known to be more."""
    count = len(ids) if total is None else max(total, len(ids))
    return Dependents(collection=collection, total=count, at_least=at_least, ids=list(ids[:SHOWN]))
