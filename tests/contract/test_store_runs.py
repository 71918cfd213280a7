"""How far hosts of a fan-out are: begun once, ended once, whoever writes and how often; gone with the job."""

import asyncio
from datetime import timedelta
from typing import Any

from dts_core.model import HostOutput, HostRun, JobError
from dts_core.states import JobEvent, JobState
from dts_core.stores.base import Store
from dts_core.testing import START
from tests.support.jobs import job_in, make_job, move


def run(host: str = "web-1", state: str = "running", **fields: Any) -> HostRun:
    given: dict[str, Any] = {"job": "J", "host": host, "epoch": 1, "seq": 1, "state": state}
    return HostRun(**(given | fields))


async def kept(store: Store, host: str = "web-1", job: str = "J") -> HostRun:
    [found] = await store.get_runs(job, [host], with_output=True)
    return found


async def test_an_end_comes_back_as_it_went_in(store: Store) -> None:
    """Status, error, times and output; the list leaves the output out."""
    ended = run(
        state="failed",
        seq=7,
        exit_status=3,
        exit_signal="KILL",
        error=JobError(type="exit", message="it ended with 3"),
        digest="d" * 64,
        output_total=9,
        fingerprint="SHA256:x",
        started_at=START,
        finished_at=START + timedelta(seconds=1),
        output=HostOutput(stdout=b"out\xff\0", stderr=b"err", result=b"[1]"),
    )
    assert await store.save_runs([ended]) == [True]
    assert await kept(store) == ended
    [listed] = await store.runs("J")
    assert listed.output is None
    assert (listed.digest, listed.error) == (ended.digest, ended.error)


async def test_a_host_is_begun_once(store: Store) -> None:
    """The same claim may say so again; another one, earlier or later, hears that it may not."""
    assert await store.save_runs([run(epoch=2)]) == [True]
    assert await store.save_runs([run(epoch=2)]) == [True]
    assert await store.save_runs([run(epoch=1)]) == [False]
    assert await store.save_runs([run(epoch=3)]) == [False]
    assert (await kept(store)).epoch == 2


async def test_an_end_stays(store: Store) -> None:
    """Said again it is the same; no later claim changes it, and none begins it anew."""
    ended = run(state="ok", seq=2)
    assert await store.save_runs([run()]) == [True]
    assert await store.save_runs([ended]) == [True]
    assert await store.save_runs([ended]) == [True]
    assert await store.save_runs([run(state="failed", epoch=2), run(epoch=2)]) == [False, False]
    assert await kept(store) == ended


async def test_only_this_claim_or_a_later_one_ends_what_was_begun(store: Store) -> None:
    """A late word of an earlier claim changes nothing."""
    assert await store.save_runs([run(epoch=2)]) == [True]
    assert await store.save_runs([run(state="ok", epoch=1)]) == [False]
    assert await store.save_runs([run(state="failed", epoch=3)]) == [True]
    assert (await kept(store)).state == "failed"


async def test_an_end_needs_no_begin(store: Store) -> None:
    """Where nothing could be run: unreachable hosts are written once."""
    assert await store.save_runs([run(state="unreachable")]) == [True]
    assert await store.save_runs([run()]) == [False]


async def test_of_many_that_begin_a_host_one_may(store: Store) -> None:
    """Claims that overlap: for each host exactly one hears True."""
    hosts = [f"h{number}" for number in range(20)]

    async def begin(epoch: int) -> list[bool]:
        return await store.save_runs([run(host, epoch=epoch) for host in hosts])

    answers = await asyncio.gather(*(begin(epoch) for epoch in (1, 2, 3)))
    assert [sum(each) for each in zip(*answers, strict=True)] == [1] * len(hosts)


async def test_they_are_read_by_position_and_by_host(store: Store) -> None:
    """What came after a position, page by page; hosts in the order in which they are asked for; other jobs apart."""
    runs = [run(f"h{number}", seq=number + 1) for number in range(5)]
    await store.save_runs([*runs, run("h0", job="K", seq=1)])
    first = await store.runs("J", limit=2)
    assert [each.host for each in first] == ["h0", "h1"]
    assert [each.host for each in await store.runs("J", after=first[-1].seq)] == ["h2", "h3", "h4"]
    found = await store.get_runs("J", ["h3", "nobody", "h1", "h3"])
    assert [each.host for each in found] == ["h3", "h1"]
    await store.save_runs([run("h0", "ok", seq=6)])
    assert [each.host for each in await store.runs("J", after=5)] == ["h0"]
    assert await store.count_runs("J") == {"running": 4, "ok": 1}
    assert await store.count_runs("nobody") == {}
    assert await store.save_runs([]) == []


async def test_they_go_with_their_job(store: Store) -> None:
    """Retention removes what a forgotten job's hosts said, and nothing of one that stays."""
    old, young = job_in(JobState.RUNNING), make_job()
    await store.insert_jobs([old, young])
    done = move(old, JobEvent.FINISH, epoch=1, result=b"1", at=START)
    assert (await store.apply([done]))[0].applied
    await store.save_runs([run(job=old.id), run(job=young.id)])
    assert await store.forget_jobs(START + timedelta(days=1)) == 1
    assert await store.runs(old.id) == []
    assert len(await store.runs(young.id)) == 1


async def test_what_a_running_host_prints_is_shown(store: Store) -> None:
    """In place of what was shown before; never of a host that has ended, of another epoch, or that nobody began."""
    said = HostOutput(stdout=b"one\n", stdout_total=4)
    await store.save_runs([run(seq=3), run("other", epoch=2)])
    await store.show_runs([run(output=said), run("other", output=said), run("nobody", output=said)])
    assert (await kept(store)).output == said
    assert (await kept(store)).seq == 3
    assert (await kept(store, "other")).output is None
    assert await store.get_runs("J", ["nobody"]) == []
    more = HostOutput(stdout=b"two\n", stdout_total=8)
    await store.show_runs([run(output=more)])
    assert (await kept(store)).output == more
    end = HostOutput(stdout=b"one\ntwo\n", stdout_total=8)
    assert await store.save_runs([run(state="ok", seq=4, output=end)]) == [True]
    await store.show_runs([run(output=said)])
    assert (await kept(store)).output == end
    await store.show_runs([])
