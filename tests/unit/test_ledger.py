"""Outcomes of hosts on their way to the store: in order, many at a time, however long the store is away."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from dts_core.errors import StoreUnavailable
from dts_core.model import HostRun, JobError
from dts_core.remote import ledger as module
from dts_core.remote.ledger import BATCH_MAX, Ledger, digest_of
from dts_core.ssh.outcome import HostState, Outcome
from dts_core.stores.base import RunStore


class Store:
    """Keeps what it is given, a batch at a time; fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.batches: list[list[HostRun]] = []
        self.failures = failures
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def save_runs(self, runs: Sequence[HostRun]) -> list[bool]:
        self.asked.set()
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the store is away.")
        self.batches.append(list(runs))
        return [run.host != "taken" for run in runs]


def ledger(store: Store, epoch: int = 2) -> Ledger:
    return Ledger(cast(RunStore, store), "J", epoch)


async def test_those_that_come_together_are_written_together() -> None:
    """One write at a time; what comes meanwhile is the next one, of BATCH_MAX at most, in one sequence."""
    store = Store()
    store.gate.clear()
    async with ledger(store) as kept:
        begun = [asyncio.create_task(kept.begin(f"h{n}")) for n in range(2 * BATCH_MAX + 1)]
        await asyncio.sleep(0)
        store.gate.set()
        assert all(await asyncio.gather(*begun))
    assert max(map(len, store.batches)) <= BATCH_MAX
    assert len(store.batches) <= 4
    seqs = [run.seq for batch in store.batches for run in batch]
    assert seqs == sorted(set(seqs))
    assert seqs[0] > 2 << 32 >= max(seqs) - (1 << 32)


async def test_a_store_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is told as kept before it is."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.001)
    store = Store(failures=3)
    async with ledger(store) as kept:
        assert await kept.begin("h1")
        assert not await kept.begin("taken")
    assert [[run.host for run in batch] for batch in store.batches] == [["h1"], ["taken"]]


async def test_whoever_waits_at_the_end_is_let_go() -> None:
    """Closed in the middle of a write, nobody waits for ever."""
    store = Store()
    store.gate.clear()
    async with ledger(store) as kept:
        waiting = asyncio.create_task(kept.begin("h1"))
        await store.asked.wait()
        later = asyncio.create_task(kept.begin("h2"))
        await asyncio.sleep(0)
    ended = await asyncio.gather(waiting, later, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended)


def test_equal_answers_have_one_digest() -> None:
    """State, status and words count; the host's name and the times do not, nor where an unreachable one lies."""
    one = Outcome(host="a", state=HostState.OK, stdout=b"x", exit_status=0, output_total=1)
    same = Outcome(host="b", state=HostState.OK, stdout=b"x", exit_status=0, output_total=1)
    other = Outcome(host="b", state=HostState.OK, stderr=b"x", exit_status=0, output_total=1)
    assert digest_of(one) == digest_of(same) != digest_of(other)
    away = [
        Outcome(
            host=name,
            state=HostState.UNREACHABLE,
            error=JobError(type="host_unreachable", message=f"{name}: refused"),
        )
        for name in ("a", "b")
    ]
    assert digest_of(away[0]) == digest_of(away[1])
