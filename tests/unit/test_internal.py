"""The internal worker's calls: every way a shipped function can end, and what is told meanwhile."""

import asyncio
import sys
import types
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from dts_core import codec
from dts_core.brokers.base import HEARTBEATS, LOGS, Broker
from dts_core.builtin import current
from dts_core.children import Ended, EndKind
from dts_core.daemons.internal_calls import BuiltinCall
from dts_core.daemons.internal_reports import RECORDS_MAX, Reports
from dts_core.errors import BrokerUnavailable, CodecError
from dts_core.model import JobMessage, LogBatch, ProgressReport
from dts_core.remote import Remotes
from dts_core.sealed import Secrets
from dts_core.services.container import Services
from dts_core.testing import ManualClock, wait_until
from tests.support.brokers import RecordingBroker

Main = Callable[..., Any]


@pytest.fixture
def broker() -> RecordingBroker:
    return RecordingBroker()


@pytest.fixture
def reports(broker: RecordingBroker) -> Reports:
    return Reports(
        cast(Broker, broker), ManualClock(), host="control", worker="internal", secrets=Secrets()
    )


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[Main], None]:
    """Puts a `main` where a shipped function `probe` would be."""

    def put(main: Main) -> None:
        module = types.ModuleType("dts_core.builtin.probe")
        module.__dict__["main"] = main
        monkeypatch.setitem(sys.modules, "dts_core.builtin.probe", module)

    return put


def call(reports: Reports, **fields: Any) -> BuiltinCall:
    given = {"function": "dts/probe", "version": "0" * 64, "is_async": True, "attempt": 1}
    job = JobMessage(**{"id": "J", "args": b"[]", "kwargs": b"{}", **given, **fields})
    return BuiltinCall(
        job, "probe", cast(Services, None), cast(Remotes, None), reports, 7, ManualClock()
    )


def failure(ended: Ended) -> tuple[str, bool]:
    assert ended.kind is EndKind.FAILED
    assert ended.error is not None
    return ended.error.type, ended.retry


async def test_value_is_the_result(install: Any, reports: Reports) -> None:
    """Arguments come in as JSON, the value goes out as JSON, with the times of its run."""

    async def main(*numbers: int, by: int) -> list[int]:
        return [number * by for number in numbers]

    install(main)
    ended = await call(reports, args=b"[1,2]", kwargs=b'{"by":3}').end()
    assert (ended.kind, ended.result) == (EndKind.RETURNED, b"[3,6]")
    assert ended.started_at is not None
    assert ended.finished_at is not None


async def test_error_is_told_printable(install: Any, reports: Reports) -> None:
    """Type, message and trace are the job's; nothing of them reaches a terminal as a control."""

    async def main() -> None:
        raise LookupError("odd \x1b[31m thing")

    install(main)
    ended = await call(reports).end()
    assert failure(ended) == ("LookupError", True)
    assert ended.error is not None
    assert "\\x1b[31m" in ended.error.message
    assert "\x1b" not in ended.error.traceback
    assert "LookupError" in ended.error.traceback


@pytest.mark.parametrize(
    ("value", "result_max", "expected"),
    [
        (object(), 1000, "NotJson"),
        ({1, object()}, 1000, "NotJson"),
        ("x" * 99, 50, "ResultTooLarge"),
    ],
)
async def test_value_that_is_no_result(
    install: Any, reports: Reports, value: object, result_max: int, expected: str
) -> None:
    """What is no JSON, or too much of it, fails and is not tried again."""

    async def main() -> object:
        return value

    install(main)
    assert failure(await call(reports, result_max=result_max).end()) == (expected, False)


async def test_cancel_ends_it_for_good(install: Any, reports: Reports) -> None:
    """The end is told only when the function has cleaned up."""
    steps = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            steps.append("cleaned up")

    install(main)
    running = call(reports)
    end = asyncio.create_task(running.end())
    await asyncio.sleep(0.01)
    running.stop()
    assert (await end).kind is EndKind.CANCELLED
    assert steps == ["cleaned up"]


async def test_time_limit(install: Any, reports: Reports) -> None:
    """Past its limit it is stopped and fails as Timeout."""
    install(asyncio.Event().wait)
    assert failure(await call(reports, timeout_seconds=0.02).end()) == ("Timeout", True)


async def test_stop_of_the_process_stops_the_call(install: Any, reports: Reports) -> None:
    """When the waiting task is cancelled, nothing of the call runs on."""
    steps = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("ended")

    install(main)
    end = asyncio.create_task(call(reports).end())
    await asyncio.sleep(0.01)
    end.cancel()
    with pytest.raises(asyncio.CancelledError):
        await end
    assert steps == ["ended"]


async def test_broken_arguments_are_refused(install: Any, reports: Reports) -> None:
    """Arguments that are no JSON never reach the function."""
    install(asyncio.sleep)
    with pytest.raises(CodecError, match="the arguments are no JSON"):
        call(reports, args=b"[1,")


async def test_function_sees_its_call(install: Any, reports: Reports) -> None:
    """`current()` gives the job and who called; two calls at once do not see each other's."""
    seen = []
    other_was_here = asyncio.Event()

    async def main(wait: bool) -> str:
        if wait:
            await other_was_here.wait()
        seen.append((current().job, current().submitter))
        other_was_here.set()
        return current().job

    install(main)
    ends = await asyncio.gather(
        call(reports, id="A", submitter="ann", args=b"[true]").end(),
        call(reports, id="B", submitter="bob", args=b"[false]").end(),
    )
    assert [msgspec.json.decode(ended.result or b"") for ended in ends] == ["A", "B"]
    assert seen == [("B", "bob"), ("A", "ann")]


async def test_progress_and_logs_are_sent(
    install: Any, broker: RecordingBroker, reports: Reports
) -> None:
    """Reports come in batches under the claim's epoch, printable and within bounds."""

    async def main() -> None:
        for step in range(5):
            current().progress(step, f"step {step}\x07")
            current().log(f"line {step}\x1b", level=30)

    install(main)
    sending = asyncio.create_task(reports.run())
    await call(reports).end()
    await wait_until(lambda: len(broker.published) == 2)
    sending.cancel()
    beats, logs = sorted(broker.published, key=lambda item: item.queue != HEARTBEATS)
    assert (beats.queue, logs.queue) == (HEARTBEATS, LOGS)
    report = codec.decode(beats.message.body, ProgressReport)
    assert [(item.id, item.epoch, item.fraction) for item in report.items] == [("J", 7, 1.0)]
    assert report.items[0].text == "step 4\\x07"
    batch = codec.decode(logs.message.body, LogBatch)
    assert [record.text for record in batch.records] == [f"line {n}\\x1b" for n in range(5)]
    assert {(record.job, record.level) for record in batch.records} == {("J", 30)}


async def test_flood_of_records_is_bounded(broker: RecordingBroker, reports: Reports) -> None:
    """The oldest records go, and how many they were is told."""
    job = JobMessage("J", "dts/probe", "0" * 64, True, b"[]", b"{}", 1)
    for number in range(RECORDS_MAX + 100):
        reports.log(job, 20, str(number))
    sending = asyncio.create_task(reports.run())
    await wait_until(lambda: _records(broker) == RECORDS_MAX)
    sending.cancel()
    batches = [codec.decode(item.message.body, LogBatch) for item in broker.published]
    assert sum(batch.dropped for batch in batches) == 100
    assert batches[0].records[0].text == "100"


async def test_broker_that_is_away_costs_reports_only(
    broker: RecordingBroker, reports: Reports
) -> None:
    """Sending goes on with what comes later."""
    job = JobMessage("J", "dts/probe", "0" * 64, True, b"[]", b"{}", 1)
    broker.failure = BrokerUnavailable("away.")
    sending = asyncio.create_task(reports.run())
    reports.log(job, 20, "lost")
    await asyncio.sleep(0.15)
    broker.failure = None
    reports.log(job, 20, "kept")
    await wait_until(lambda: _records(broker) >= 1)
    assert not sending.done()
    sending.cancel()


def _records(broker: RecordingBroker) -> int:
    batches = [codec.decode(item.message.body, LogBatch) for item in broker.published]
    return sum(len(batch.records) for batch in batches)
