"""The log agent as a task: real files, real threads."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from dts_core.clock import SystemClock
from dts_core.errors import ConfigError
from dts_core.model import LogRecord
from dts_core.settings import AgentSettings
from dts_core.testing import wait_until
from dts_worker.agent import LogAgent
from dts_worker.ports import LogSink


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []

    def add(self, record: LogRecord) -> None:
        self.records.append(record)

    def note_dropped(self, count: int) -> None:
        raise AssertionError("the agent says itself what it drops")

    @property
    def texts(self) -> list[str]:
        return [record.text for record in self.records]


def make_agent(folder: Path, sink: LogSink, **fields: object) -> LogAgent:
    given = {"paths": [str(folder / "**" / "*.log")], "poll_seconds": 0.02, "scan_seconds": 0.05}
    settings = AgentSettings(**(given | fields))  # type: ignore[arg-type]
    return LogAgent(settings, sink, "alpha", folder / "state", SystemClock())


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_records_reach_the_sink_and_offsets_outlive_the_agent(tmp_path: Path) -> None:
    """A record of the level arrives with host, source and time; after a restart it does not come again."""
    sink = Sink()
    log = tmp_path / "deep" / "down" / "a.log"
    log.parent.mkdir(parents=True)
    log.write_text("ERROR before the start\n")
    task = asyncio.create_task(make_agent(tmp_path, sink).run())
    await wait_until(lambda: _holds(log))
    with log.open("a") as file:
        file.write("INFO no\nERROR 2026-01-02T03:04:05Z yes\n")
    await wait_until(lambda: len(sink.records) == 1)
    (record,) = sink.records
    assert (record.host, record.source, record.level) == ("alpha", str(log), 40)
    assert record.at.isoformat() == "2026-01-02T03:04:05+00:00"
    await stop(task)
    assert not _holds(log)

    log.write_text(log.read_text() + "ERROR while away\n")
    second = Sink()
    task = asyncio.create_task(make_agent(tmp_path, second).run())
    await wait_until(lambda: second.texts == ["ERROR while away"])
    await stop(task)


def _holds(path: Path) -> bool:
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if fd.readlink() == path:
                return True
    return False


async def test_loop_stays_free_while_much_is_read(tmp_path: Path) -> None:
    """Reading tens of megabytes happens beside the loop, which keeps turning."""
    sink = Sink()
    log = tmp_path / "a.log"
    log.write_bytes(b"DEBUG nothing to see here at all\n" * 300_000 + b"ERROR end\nx\n")
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.005)
            turns += 1

    turning = asyncio.create_task(turn())
    task = asyncio.create_task(make_agent(tmp_path, sink, from_start=True).run())
    await wait_until(lambda: sink.texts == ["ERROR end"])
    assert turns > 10
    await stop(task)
    turning.cancel()


async def test_without_paths_it_only_waits(tmp_path: Path) -> None:
    """No path, no work, no state: and no end, which would stop the worker."""
    task = asyncio.create_task(make_agent(tmp_path, Sink(), paths=[]).run())
    await asyncio.sleep(0)
    assert not task.done()
    await stop(task)
    assert list(tmp_path.iterdir()) == []


async def test_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path may begin with ~."""
    monkeypatch.setenv("HOME", str(tmp_path))
    sink = Sink()
    (tmp_path / "a.log").write_text("ERROR x\ny\n")
    agent = make_agent(tmp_path, sink, paths=["~/*.log"], from_start=True)
    task = asyncio.create_task(agent.run())
    await wait_until(lambda: sink.texts == ["ERROR x"])
    await stop(task)


def test_unknown_level_is_refused(tmp_path: Path) -> None:
    """A level that is none is an error with its key, at the start."""
    with pytest.raises(ConfigError, match=r"agent\.level"):
        make_agent(tmp_path, Sink(), level="loud")
