"""Output of running hosts: what goes to the store and how much, and what is new behind a position."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from dts_core.errors import StoreUnavailable
from dts_core.model import HostRun
from dts_core.remote import live as module
from dts_core.remote.live import BUDGET_BYTES, WINDOW_LEAST, LiveOutputs
from dts_core.services.livetext import LINE_MAX, end_of, new_lines
from dts_core.ssh.output import KeptOutput
from dts_core.stores.base import RunStore
from dts_core.testing import wait_until


class Store:
    """Keeps what it is shown; fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.shown: list[list[HostRun]] = []
        self.failures = failures

    async def show_runs(self, runs: Sequence[HostRun]) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the store is away.")
        self.shown.append(list(runs))

    def total(self, host: str) -> int:
        """Bytes of standard output that were told last."""
        runs = [run for batch in self.shown for run in batch if run.host == host and run.output]
        return runs[-1].output.stdout_total if runs and runs[-1].output else 0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.001)


def outputs(store: Store, hosts: int = 1) -> LiveOutputs:
    return LiveOutputs(cast(RunStore, store), "J", 2, hosts)


async def test_a_host_that_prints_nothing_costs_nothing() -> None:
    """No task and no write before the first piece of output."""
    store, before = Store(), len(asyncio.all_tasks())
    async with outputs(store) as live:
        live.forget("h1")
        assert len(asyncio.all_tasks()) == before
    assert store.shown == []


async def test_the_newest_is_shown_with_how_much_there_was() -> None:
    """Streams apart; what came before the window is counted; a store that is away is no reason to stop."""
    store = Store(failures=2)
    async with outputs(store) as live:
        live.hear("h1", 0, b"out\n")
        live.hear("h1", 1, b"err\n")
        await wait_until(lambda: store.failures == 0, what="the store was away")
        live.hear("h1", 0, b"x" * 300_000)
        await wait_until(lambda: store.total("h1") == 300_004, what="it is shown")
    [run] = store.shown[-1]
    assert run.output is not None
    assert (run.job, run.host, run.epoch, run.state) == ("J", "h1", 2, "running")
    assert (run.output.stderr, run.output.stderr_total) == (b"err\n", 4)
    assert len(run.output.stdout) == module.WINDOW_MOST


async def test_many_loud_hosts_stay_within_the_budget() -> None:
    """500 hosts of 10,000 lines each: bounded memory, bounded writes, everybody's turn comes."""
    store, line = Store(), b"y" * 99 + b"\n"
    names = [f"h{number}" for number in range(500)]
    async with outputs(store, len(names)) as live:
        for name in names:
            for _ in range(100):
                live.hear(name, 0, line * 100)
        held = sum(len(each.stdout._bytes) for each in live._hosts.values())
        assert held <= 500 * 2 * WINDOW_LEAST + 500 * len(line) * 100
        await wait_until(lambda: len({run.host for batch in store.shown for run in batch}) == 500)
        live.forget("h7")
    for batch in store.shown:
        size = sum(len(run.output.stdout) for run in batch if run.output is not None)
        assert size <= BUDGET_BYTES + WINDOW_LEAST
    assert all(
        run.output is not None and run.output.stdout_total == 1_000_000 for run in store.shown[-1]
    )


def test_lines_are_told_once() -> None:
    """Whole ones while it runs, from the position on; the rest when it is over."""
    first = new_lines(b"one\ntwo\nthr", 11, 0, is_over=False)
    assert (first.data, first.at, first.missed) == (b"one\ntwo\n", 8, 0)
    assert new_lines(b"one\ntwo\nthr", 11, 8, is_over=False).data == b""
    last = new_lines(b"one\ntwo\nthree", 13, 8, is_over=True)
    assert (last.data, last.at) == (b"three", 13)
    assert new_lines(b"", 0, 0, is_over=True).at == 0
    assert new_lines(b"old", 3, 9, is_over=True).at == 9


def test_what_was_missed_is_counted_to_a_whole_line() -> None:
    """The window has moved on: its first, cut line counts among what is gone."""
    piece = new_lines(b"ut\nfour\nfive\n", 100, 10, is_over=False)
    assert (piece.data, piece.at, piece.missed) == (b"four\nfive\n", 100, 80)
    assert piece.missed + len(piece.data) == 100 - 10


def test_a_long_line_without_an_end_is_told_too() -> None:
    """A program that never ends its line is not silent for ever."""
    assert new_lines(b"z" * LINE_MAX, LINE_MAX, 0, is_over=False).at == LINE_MAX


@pytest.mark.parametrize("size", [10, 63, 64, 65, 1000])
def test_the_end_of_what_was_kept_is_found(size: int) -> None:
    """Of a stream that ended, however much of its middle was left out; a line of its own that looks so is none."""
    stream = (b"\n... 936 bytes left out ...\n" + bytes(range(97, 123)) * 40)[:size]
    kept = KeptOutput(64)
    kept.take(stream)
    end = end_of(kept.kept(), kept.total)
    assert stream.endswith(end)
    assert len(end) == size if size <= 64 else len(end) >= 32
