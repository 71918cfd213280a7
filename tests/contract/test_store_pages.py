"""Pages of jobs: every filter, every order, every combination finds what a plain look at all jobs finds."""

import itertools
import random
from datetime import timedelta

import pytest
from msgspec.structs import replace

from dts_core.errors import InvalidInput
from dts_core.model import Job, JobError, JobQuery
from dts_core.states import JobEvent, JobState
from dts_core.stores import limits
from dts_core.stores.base import Store
from dts_core.testing import START
from tests.support.jobs import make_job, move

SECOND = timedelta(seconds=1)
FILTERS: dict[str, object] = {
    "state": (JobState.DONE, JobState.FAILED),
    "function": "alpha/one",
    "namespace": "beta",
    "host": "h2",
    "submitter": "ann",
    "text": "ONE",
    "since": START + 40 * SECOND,
    "until": START + 160 * SECOND,
}


def crowd(count: int = 240) -> list[Job]:
    chance = random.Random(5)
    return [
        make_job(
            id=f"J{at:05}",
            function=f"{chance.choice(['alpha', 'beta', 'gamma'])}/{chance.choice(['one', 'two'])}",
            host=chance.choice(["", "h1", "h2"]),
            submitter=chance.choice(["ann", "bob", "cat"]),
            state=chance.choice(
                [JobState.DONE, JobState.FAILED, JobState.QUEUED, JobState.RUNNING]
            ),
            created_at=START + at * SECOND,
        )
        for at in range(count)
    ]


def matches(job: Job, query: JobQuery) -> bool:
    namespace = job.function.split("/")[0]
    needle = query.text.lower()
    return (
        (not query.state or job.state in query.state)
        and (not query.function or job.function == query.function)
        and (not query.namespace or namespace == query.namespace)
        and (not query.host or job.host == query.host)
        and (not query.submitter or job.submitter == query.submitter)
        and (
            not needle or any(needle in text.lower() for text in (job.id, job.function, job.reason))
        )
        and (query.since is None or job.created_at >= query.since)
        and (query.until is None or job.created_at < query.until)
        and (
            query.visible_namespaces is None
            or namespace in query.visible_namespaces
            or bool(query.visible_to and job.submitter == query.visible_to)
        )
    )


async def collect(store: Store, query: JobQuery) -> list[str]:
    """All ids over all pages; no page is longer than asked, none comes twice."""
    found: list[str] = []
    for _ in range(1000):
        page = await store.find_jobs(query)
        assert len(page.items) <= query.limit
        found += [job.id for job in page.items]
        if not page.next:
            break
        assert page.next != query.cursor
        query = replace(query, cursor=page.next)
    assert len(found) == len(set(found))
    return found


def expected(jobs: list[Job], query: JobQuery) -> list[str]:
    ids = [job.id for job in jobs if matches(job, query)]
    return ids[::-1] if query.newest_first else ids


@pytest.mark.parametrize("newest_first", [True, False])
async def test_every_combination_of_filters_finds_exactly_what_matches(
    store: Store, is_remote: bool, newest_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pairs and triples (over the wire: pairs) of filters, in both orders, over pages with bounded looks."""
    monkeypatch.setattr(limits, "WINDOW", 40)
    monkeypatch.setattr(limits, "TEXT_WINDOW", 40)
    jobs = crowd(160 if is_remote else 240)
    await store.insert_jobs(jobs)
    for count in (0, 1, 2) if is_remote else (0, 1, 2, 3):
        for names in itertools.combinations(FILTERS, count):
            query = JobQuery(
                **{name: FILTERS[name] for name in names},  # type: ignore[arg-type]
                newest_first=newest_first,
                limit=17,
            )
            assert await collect(store, query) == expected(jobs, query), names


@pytest.mark.parametrize("newest_first", [True, False])
async def test_only_visible_jobs_are_listed(
    store: Store, is_remote: bool, newest_first: bool
) -> None:
    """Namespaces that may be seen, one's own jobs, and nothing else, alone and with filters."""
    jobs = crowd(80 if is_remote else 240)
    await store.insert_jobs(jobs)
    visible: list[tuple[str, ...]] = [(), ("alpha",), ("alpha", "beta")]
    for namespaces, user in itertools.product(visible, ("", "bob")):
        for extra in ({}, {"state": (JobState.DONE,)}, {"submitter": "ann"}, {"text": "two"}):
            query = JobQuery(
                visible_namespaces=namespaces,
                visible_to=user,
                newest_first=newest_first,
                limit=23,
                **extra,
            )
            assert await collect(store, query) == expected(jobs, query)


async def test_a_page_carries_whole_jobs_without_results(store: Store) -> None:
    """Arguments are in lists, results are not."""
    job = make_job(args=b"[7]")
    await store.insert_jobs([job])
    await store.apply([move(job, JobEvent.CLAIM), move(job, JobEvent.FINISH, epoch=1, result=b"8")])
    [found] = (await store.find_jobs(JobQuery())).items
    assert (found.args, found.result, found.result_size) == (b"[7]", None, 1)


async def test_a_page_of_large_jobs_is_short_and_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes bound a page as well as the limit does; every job is still found once."""
    monkeypatch.setattr(limits, "PAGE_BYTES", 25_000)
    jobs = [make_job(id=f"J{at}", args=b"[" + b"1" * 10_000 + b"]") for at in range(7)]
    await store.insert_jobs(jobs)
    page = await store.find_jobs(JobQuery())
    assert len(page.items) == 3
    assert await collect(store, JobQuery()) == [job.id for job in reversed(jobs)]


async def test_new_jobs_do_not_disturb_a_walk_over_pages(store: Store) -> None:
    """What arrives between two pages neither repeats nor hides what was there."""
    jobs = crowd(30)
    await store.insert_jobs(jobs)
    first = await store.find_jobs(JobQuery(limit=10))
    await store.insert_jobs([make_job(id="NEW", created_at=START + 999 * SECOND)])
    rest = await collect(store, JobQuery(limit=10, cursor=first.next))
    assert [job.id for job in first.items] + rest == [job.id for job in reversed(jobs)]


async def test_the_text_of_an_error_is_found(store: Store) -> None:
    """A search meets the error's type and message, whatever the case, and takes % and _ for themselves."""
    job, other = make_job(id="A"), make_job(id="B")
    await store.insert_jobs([job, other])
    error = JobError(type="DiskError", message="100%_full: Ärger")
    await store.apply([move(job, JobEvent.CLAIM), move(job, JobEvent.FAIL, epoch=1, error=error)])
    for text in ("diskerror", "0%_F", "Ärger"):
        assert [found.id for found in (await store.find_jobs(JobQuery(text=text))).items] == ["A"]
    for text in ("%full%", "100__full", "\\"):
        assert (await store.find_jobs(JobQuery(text=text))).items == []


async def test_only_the_newest_jobs_are_searched_for_a_text(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that only an old job holds is not found: the look is bounded."""
    monkeypatch.setattr(limits, "TEXT_NEWEST", 10)
    await store.insert_jobs([make_job(id=f"J{at:02}") for at in range(20)])
    assert await collect(store, JobQuery(text="J0")) == []
    assert await collect(store, JobQuery(text="J1")) == [f"J{at}" for at in range(19, 9, -1)]


@pytest.mark.parametrize("fields", [{"limit": 0}, {"limit": 501}, {"cursor": "x y"}])
async def test_wrong_bounds_are_refused(store: Store, fields: dict[str, object]) -> None:
    """A limit out of 1..500 or a foreign cursor is the caller's mistake."""
    with pytest.raises(InvalidInput):
        await store.find_jobs(JobQuery(**fields))  # type: ignore[arg-type]


async def test_a_clock_that_stepped_back_hides_no_job(store: Store) -> None:
    """Jobs made while the clock was wrong count as made at the step; all others are found by their time."""
    ages = [*range(20), *range(-3600, -3580), *range(20, 40)]
    jobs = [
        make_job(id=f"J{at:02}", created_at=START + age * SECOND) for at, age in enumerate(ages)
    ]
    await store.insert_jobs(jobs)
    later = set(await collect(store, JobQuery(since=START + 10 * SECOND)))
    assert later >= {job.id for job in jobs if job.created_at >= START + 10 * SECOND}
    assert later.isdisjoint(job.id for job in jobs[:10])
    earlier = set(await collect(store, JobQuery(until=START + 10 * SECOND)))
    assert earlier == {job.id for job in jobs[:10]}


async def test_an_empty_store_has_one_empty_page(store: Store) -> None:
    """Nothing in it: no items, no next."""
    page = await store.find_jobs(JobQuery(state=(JobState.DONE,), text="x"))
    assert (page.items, page.next) == ([], "")
