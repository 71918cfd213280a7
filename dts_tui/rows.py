"""Bounded lists of records: cursor and marks follow the record, not its place."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from dts_core.views import JobView
from dts_tui.filters import Filter
from dts_tui.text_of import job_record

ROWS_MAX = 500
"""Most rows a table keeps."""


T = TypeVar("T")


@dataclass
class Rows(Generic[T]):
    """A bounded list of records by key: cursor and marks follow the record, not its place."""

    key: Callable[[T], str]
    items: "OrderedDict[str, T]" = field(default_factory=OrderedDict)
    marks: set[str] = field(default_factory=set)
    cursor: str = ""

    def replace(self, items: Iterable[T]) -> None:
        """Take new content; the cursor stays on its record, or where it was when that one is gone."""
        place = self.place()
        self.items = OrderedDict((self.key(item), item) for item in list(items)[:ROWS_MAX])
        self.marks &= self.items.keys()
        if self.cursor not in self.items:
            keys = list(self.items)
            self.cursor = keys[min(place, len(keys) - 1)] if keys else ""

    def extend(self, items: Iterable[T]) -> int:
        """Add a further page below; what exceeds ROWS_MAX falls off the top. Returns how many did."""
        for item in items:
            self.items.setdefault(self.key(item), item)
        gone = 0
        while len(self.items) > ROWS_MAX:
            key, _ = self.items.popitem(last=False)
            self.marks.discard(key)
            gone += 1
        if self.cursor not in self.items:
            self.cursor = next(iter(self.items), "")
        return gone

    def put_first(self, item: T) -> None:
        """Update a record in its place, or add it on top."""
        key = self.key(item)
        new = key not in self.items
        self.items[key] = item
        if new:
            self.items.move_to_end(key, last=False)
            while len(self.items) > ROWS_MAX:
                gone, _ = self.items.popitem(last=True)
                self.marks.discard(gone)
            self.cursor = self.cursor if self.cursor in self.items else key

    def drop(self, key: str) -> None:
        """Take a record away; the cursor moves to the one that takes its place."""
        if key not in self.items:
            return
        place = list(self.items).index(key)
        del self.items[key]
        self.marks.discard(key)
        if self.cursor == key:
            keys = list(self.items)
            self.cursor = keys[min(place, len(keys) - 1)] if keys else ""

    def place(self) -> int:
        """Index of the cursor; 0 when there is nothing."""
        for index, key in enumerate(self.items):
            if key == self.cursor:
                return index
        return 0

    @property
    def current(self) -> T | None:
        """The record under the cursor."""
        return self.items.get(self.cursor)

    def chosen(self) -> list[T]:
        """The marked records, or else the one under the cursor."""
        if self.marks:
            return [item for key, item in self.items.items() if key in self.marks]
        current = self.current
        return [] if current is None else [current]


class JobList:
    """The jobs that are shown: a page from the server, kept fresh by the stream, within a filter."""

    def __init__(self) -> None:
        self.rows: Rows[JobView] = Rows(lambda job: job.id)
        self.local = Filter()
        self.query: dict[str, str] = {}
        self.next = ""
        self.above = 0
        """How many newer ones fell off the top while paging down."""

    def load(self, jobs: Iterable[JobView], following: str) -> None:
        """The first page; what it left out for the local filter is simply not shown."""
        known = self.rows.items
        newest = (
            known[job.id] if job.id in known and known[job.id].changed > job.changed else job
            for job in jobs
        )
        self.rows.replace([job for job in newest if self.local.match(job_record(job))])
        self.next, self.above = following, 0

    def more(self, jobs: Iterable[JobView], following: str) -> None:
        """The following page."""
        self.above += self.rows.extend(job for job in jobs if self.local.match(job_record(job)))
        self.next = following

    def event(self, job: JobView) -> None:
        """One changed job from the stream: an older change than the one shown does nothing."""
        known = self.rows.items.get(job.id)
        if known is not None and known.changed > job.changed:
            return
        fits = self._asked_for(job) and self.local.match(job_record(job))
        if fits and (known is not None or not self.above):
            self.rows.put_first(job)
        elif known is not None and not fits:
            self.rows.drop(job.id)

    def _asked_for(self, job: JobView) -> bool:
        query = self.query
        if "state" in query and job.state not in query["state"].split(","):
            return False
        exact = {
            "function": job.function, "host": job.host, "submitter": job.submitter,
            "namespace": job.function.partition("/")[0],
        }  # fmt: skip
        if any(name in query and query[name] != value for name, value in exact.items()):
            return False
        word = query.get("text", "").casefold()
        return not word or any(word in value.casefold() for value in job_record(job).values())
