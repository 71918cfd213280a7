"""The job cache: bounded, and never older than what was written or heard."""

from typing import Any

from dts_core.model import Change, Job
from dts_core.services.counters import Counters
from dts_core.services.jobcache import RECORD_BYTES, JobCache
from dts_core.states import JobState
from dts_core.testing import ManualClock
from tests.support.jobs import make_job


def cache_of(limit: int = 10, limit_bytes: int = 1 << 20) -> tuple[JobCache, ManualClock]:
    clock = ManualClock()
    return JobCache(clock, Counters(), limit, limit_bytes), clock


def ended(job: Job, **fields: Any) -> Job:
    import msgspec

    return msgspec.structs.replace(
        job, **{"state": JobState.DONE, "epoch": 1, "changed": 9} | fields
    )


def heard(job: Job, state: str, position: int = 0, epoch: int = 0) -> list[Change]:
    return [Change("jobs", job.id, state, position, epoch)]


def test_a_finished_job_stays_whatever_is_heard() -> None:
    """Nothing leaves a final state: a late announcement costs no read."""
    cache, clock = cache_of()
    job = ended(make_job())
    cache.put(job)
    cache.hear(heard(job, "running", 5, 1))
    clock.advance(3600)
    assert cache.get(job.id) is job


def test_an_announced_change_makes_the_record_stale() -> None:
    """The next look goes to the store; its own acceptance is no news."""
    cache, _ = cache_of()
    job = make_job()
    cache.put(job)
    cache.hear(heard(job, "queued"))
    assert cache.get(job.id) is job
    cache.hear(heard(job, "running", 7, 1))
    assert cache.get(job.id) is None


def test_progress_is_news() -> None:
    """It comes without a position and in the same state."""
    cache, _ = cache_of()
    job = make_job(state=JobState.RUNNING, epoch=1, changed=5)
    cache.put(job)
    cache.hear(heard(job, "running", 0, 1))
    assert cache.get(job.id) is None


def test_an_announcement_of_what_is_known_changes_nothing() -> None:
    """A record read after the change already shows it."""
    cache, _ = cache_of()
    job = make_job(state=JobState.RUNNING, epoch=1, changed=5)
    cache.put(job)
    cache.hear(heard(job, "queued", 4))
    assert cache.get(job.id) is job


def test_an_unfinished_record_counts_for_a_second() -> None:
    """After it the store is asked, in case an announcement was lost."""
    cache, clock = cache_of()
    job = make_job()
    cache.put(job)
    clock.advance(0.999)
    assert cache.get(job.id) is job
    clock.advance(0.001)
    assert cache.get(job.id) is None


def test_an_older_record_never_replaces_a_newer_one() -> None:
    """By epoch and position; and a final one gives way to nothing unfinished."""
    cache, _ = cache_of()
    job = make_job()
    done = ended(job)
    cache.put(done)
    cache.put(job)
    cache.put(ended(job, changed=8))
    assert cache.get(job.id) is done


def test_a_read_that_was_overtaken_is_not_trusted() -> None:
    """What is heard between the begin and the end of a read may be missing from its result."""
    cache, _ = cache_of()
    job = make_job(changed=3)
    cache.begin_read(job.id)
    cache.hear(heard(job, "done", 4, 1))
    assert cache.end_read(job.id, job) is False
    assert cache.get(job.id) is None
    cache.begin_read(job.id)
    assert cache.end_read(job.id, ended(job)) is True
    assert cache.get(job.id) is not None


def test_two_reads_at_once_do_not_hide_a_change_from_each_other() -> None:
    """The second reader's begin does not make the first reader's old result good."""
    cache, _ = cache_of()
    job = make_job(changed=3)
    cache.begin_read(job.id)
    cache.hear(heard(job, "done", 4, 1))
    cache.begin_read(job.id)
    assert cache.end_read(job.id, job) is False
    assert cache.end_read(job.id, ended(job)) is True
    assert cache._reading == {}
    assert cache._changed_while_reading == set()


def test_a_read_that_failed_leaves_nothing_behind() -> None:
    """The books of running reads are empty again."""
    cache, _ = cache_of()
    cache.begin_read("j")
    assert cache.end_read("j", None) is True
    assert cache._reading == {}
    assert len(cache) == 0


def test_records_and_bytes_are_bounded() -> None:
    """The one not asked for longest goes first; one huge record does not push out everything."""
    cache, _ = cache_of(limit=3)
    jobs = [ended(make_job()) for _ in range(4)]
    for job in jobs[:3]:
        cache.put(job)
    cache.get(jobs[0].id)
    cache.put(jobs[3])
    assert [cache.get(job.id) is not None for job in jobs] == [True, False, True, True]
    small, _ = cache_of(limit=100, limit_bytes=4 * (RECORD_BYTES + 1000))
    for _ in range(10):
        small.put(ended(make_job(args=b"[]", kwargs=b"{}"), result=b"x" * 996))
    assert len(small) == 4
    assert small.bytes == 4 * (RECORD_BYTES + 1000)
    small.put(ended(make_job(), result=b"x" * 10_000))
    assert len(small) == 4


def test_forgetting_takes_the_bytes_back() -> None:
    """Jobs that were not accepted leave no trace."""
    cache, _ = cache_of()
    job = make_job()
    cache.put(job)
    cache.forget([job, make_job()])
    assert (len(cache), cache.bytes) == (0, 0)
