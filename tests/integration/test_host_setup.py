"""A host set up over a real OpenSSH, from nothing: planned, made, cut, made whole, changed, and taken away again."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from dts_core.errors import InterpreterUnfit, RemoteError, SetupFailed
from dts_core.ssh.pool import Sessions
from dts_core.ssh.setup.setup import Plan, Setup
from dts_core.ssh.setup.steps import PlanStep
from dts_core.ssh.setup.wheels.release import Release, Shelf
from dts_core.ssh.setup.wish import Wish
from dts_core.ssh.target import Target
from dts_core.testing import wait_until
from tests.support.setups import PASSWORD, processes_of, shelf_folder, tree, wish_for
from tests.support.sshd import SshServer, ssh_server

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]
STEPS = ["folders", "program", "config", "unit", "service"]


@pytest.fixture(scope="module")
def server() -> Iterator[SshServer]:
    with ssh_server() as made:
        yield made


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(shelf_folder(tmp_path_factory))


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """A program that lacks most of what a worker needs, for what is not about running it."""
    return Shelf(shelf_folder(tmp_path_factory), needs=("click",))


class Bench:
    """A host, and what sets it up."""

    def __init__(self, target: Target, sessions: Sessions, shelf: Shelf, folder: Path) -> None:
        self.target = target
        self.sessions = sessions
        self.shelf = shelf
        self.setup = Setup(sessions, shelf)
        self.folder = folder
        self.steps: list[tuple[str, bool]] = []

    @property
    def wish(self) -> Wish:
        return wish_for(self.folder / "dts")

    def note(self, step: PlanStep, is_done: bool) -> None:
        self.steps.append((step.name, is_done))

    async def apply(self, **changes: Any) -> Plan:
        wish = msgspec.structs.replace(self.wish, **changes)
        return await self.setup.apply(self.target, wish, progress=self.note)


@asynccontextmanager
async def bench_of(server: SshServer, shelf: Shelf, folder: Path) -> AsyncIterator[Bench]:
    async with Sessions() as sessions:
        made = Bench(server.target(python="/usr/bin/python3"), sessions, shelf, folder)
        try:
            yield made
        finally:
            await made.setup.remove(made.target, made.wish)
            assert processes_of(folder) == []


@pytest.fixture(name="bench")
async def bench_fixture(server: SshServer, light: Shelf, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_of(server, light, tmp_path) as made:
        yield made


@pytest.fixture(name="whole")
async def whole_fixture(server: SshServer, shelf: Shelf, tmp_path: Path) -> AsyncIterator[Bench]:
    """The same with the whole program."""
    async with bench_of(server, shelf, tmp_path) as made:
        yield made


async def test_from_nothing_twice_and_back(bench: Bench) -> None:
    """A plan changes nothing; made, a second run changes nothing; taken away, all is as it was before."""
    before = tree(bench.folder)
    plan = await bench.setup.plan(bench.target, bench.wish)
    assert plan.changes == STEPS
    assert tree(bench.folder) == before
    made = await bench.apply()
    assert made.changes == STEPS
    assert bench.steps == [(name, done) for name in STEPS for done in (False, True)]
    assert processes_of(bench.folder)
    whole = tree(bench.folder / "dts" / "config")
    bench.steps.clear()
    again = await bench.apply()
    assert (again.changes, bench.steps) == ([], [])
    assert tree(bench.folder / "dts" / "config") == whole
    gone = await bench.setup.remove(bench.target, bench.wish)
    assert (gone.removed, gone.left) == (True, [])
    assert tree(bench.folder) == before
    assert processes_of(bench.folder) == []
    assert not (await bench.setup.remove(bench.target, bench.wish)).removed


async def test_what_is_secret_is_its_owners(bench: Bench) -> None:
    """Files are of mode 600, folders 700; the password is in the one file, in no command line and in no plan."""
    plan = await bench.apply()
    folder = bench.folder / "dts"
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder / "config").iterdir()}
    assert modes == {"worker.toml": 0o600, "worker.env": 0o600, "signing.pub": 0o600}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o700}
    assert PASSWORD in (folder / "config" / "worker.env").read_text()
    assert PASSWORD not in msgspec.json.encode(plan).decode()
    assert not any(
        PASSWORD in word
        for each in psutil.process_iter(["cmdline"])
        for word in each.info["cmdline"] or []
    )
    holders = [
        path for path in folder.rglob("*")
        if path.is_file() and PASSWORD.encode() in path.read_bytes()
    ]  # fmt: skip
    assert holders == [folder / "config" / "worker.env"]


async def test_the_worker_begins(whole: Bench) -> None:
    """What was installed is a worker that starts, and waits for its broker."""
    await whole.apply()
    log = whole.folder / "dts" / "program" / "run" / "worker.log"
    await wait_until(lambda: b"starting" in log.read_bytes(), what="the worker says that it starts")
    assert PASSWORD.encode() not in log.read_bytes()


class Cut(Exception):
    """The one who sets up is gone."""


@pytest.mark.parametrize("at", [(step, done) for step in STEPS for done in (False, True)])
async def test_a_cut_at_any_step_is_taken_up(bench: Bench, at: tuple[str, bool]) -> None:
    """Whoever sets up vanishes before or after a step: the next run makes what is missing, and only that."""

    def cut(step: PlanStep, is_done: bool) -> None:
        bench.note(step, is_done)
        if (step.name, is_done) == at:
            raise Cut

    with pytest.raises(Cut):
        await bench.setup.apply(bench.target, bench.wish, progress=cut)
    done = [name for name, is_done in bench.steps if is_done]
    bench.steps.clear()
    await bench.apply()
    assert [name for name, is_done in bench.steps if is_done] == STEPS[len(done) :]
    assert (await bench.apply()).changes == []


class Breaking(Release, frozen=True):
    """A release whose sending is broken off in its midst."""

    def pieces(self) -> Iterator[bytes]:
        for number, piece in enumerate(super().pieces()):
            if number == 3:
                session_process().kill()
            yield piece


def session_process() -> psutil.Process:
    """The sshd that serves our session: the youngest of those whose parent is ours."""
    found = [
        each for each in psutil.Process().children(recursive=True) if each.name() == "sshd"
    ]  # fmt: skip
    return max(found, key=lambda each: each.create_time())


async def test_a_lost_connection_within_the_files(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the program is never taken for the whole; the host knows where it was cut; the next run sends it anew."""
    whole = Shelf.release

    def breaking(self: Shelf, facts: Any) -> Release:
        return Breaking(**msgspec.structs.asdict(whole(self, facts)))

    with monkeypatch.context() as patched:
        patched.setattr(Shelf, "release", breaking)
        with pytest.raises(RemoteError):
            await bench.apply()
    program = bench.folder / "dts" / "program"
    assert not (program / "current").exists()
    plan = await bench.setup.plan(bench.target, bench.wish)
    assert (plan.cut_at, plan.changes) == ("program", STEPS[1:])
    await bench.apply()
    assert (await bench.apply()).changes == []
    assert [path.suffix for path in (program / "versions").iterdir()] == [""]


async def test_files_that_were_altered_on_the_way_are_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit of them is enough: nothing of them is used."""

    class Altered(Release, frozen=True):
        def pieces(self) -> Iterator[bytes]:
            for number, piece in enumerate(super().pieces()):
                yield piece if number else bytes([piece[0] ^ 1]) + piece[1:]

    whole = Shelf.release
    with monkeypatch.context() as patched:
        patched.setattr(
            Shelf,
            "release",
            lambda self, facts: Altered(**msgspec.structs.asdict(whole(self, facts))),
        )
        with pytest.raises(SetupFailed, match="not those that were sent"):
            await bench.apply()
    assert not (bench.folder / "dts" / "program" / "current").exists()


async def test_a_change_starts_the_worker_anew(bench: Bench) -> None:
    """Only what differs is written; the worker that ran has ended before the next one runs."""
    await bench.apply()
    pids = {each.pid for each in processes_of(bench.folder)}
    changed = await bench.apply(queues=("default", "gpu"))
    assert changed.changes == ["config", "service"]
    assert 'queues = ["default", "gpu"]' in (bench.folder / "dts/config/worker.toml").read_text()
    assert not pids & {each.pid for each in processes_of(bench.folder)}
    assert (await bench.apply(queues=("default", "gpu"))).changes == []


async def test_what_is_killed_is_started_again(whole: Bench) -> None:
    """A worker that dies is started again; one whose supervisor dies ends, and the next run starts both."""
    await whole.apply()

    def worker() -> psutil.Process | None:
        found = [each for each in processes_of(whole.folder) if "dts-worker" in str(each.cmdline())]
        return found[0] if len(found) == 1 else None

    await wait_until(lambda: worker() is not None)
    first = worker()
    assert first is not None
    first.kill()
    await wait_until(lambda: (found := worker()) is not None and found.pid != first.pid)
    pid = int((whole.folder / "dts/program/run/lock").read_text())
    psutil.Process(pid).kill()
    await wait_until(lambda: processes_of(whole.folder) == [])
    assert (await whole.apply()).changes == ["service"]
    await wait_until(lambda: worker() is not None)


async def test_stopped_it_stays_so_until_the_next_run(bench: Bench) -> None:
    """A stop lets it finish and leaves all else in place."""
    await bench.apply()
    assert await bench.setup.stop(bench.target, bench.wish)
    assert processes_of(bench.folder) == []
    assert not await bench.setup.stop(bench.target, bench.wish)
    assert (await bench.setup.plan(bench.target, bench.wish)).changes == ["service"]


async def test_what_others_have_put_there_stays(bench: Bench) -> None:
    """A removal takes away what set-up made, and neither another's file nor a folder that was there before."""
    theirs = bench.folder / "dts" / "config" / "theirs"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    await bench.apply()
    gone = await bench.setup.remove(bench.target, bench.wish)
    assert gone.left == []
    assert theirs.read_text() == "mine"


async def test_without_python_a_person_is_told_what_to_install(bench: Bench) -> None:
    """Found out by sh alone; nothing is changed."""
    target = msgspec.structs.replace(bench.target, python="/nowhere/python3", version="x")
    with pytest.raises(InterpreterUnfit) as told:
        await bench.setup.plan(target, bench.wish)
    assert "has no Python from 3.9" in str(told.value)
    assert not (bench.folder / "dts").exists()


async def test_an_agent_gets_the_program_and_no_login(whole: Bench) -> None:
    """Mode agent: no service, no broker."""
    made = await whole.apply(mode="agent", broker_url=None)
    assert made.changes == ["folders", "program", "config"]
    assert processes_of(whole.folder) == []
    assert not (whole.folder / "dts/config/worker.env").exists()
    program = whole.folder / "dts" / "program" / "current" / "bin" / "dts-worker"
    async with whole.sessions.session(whole.target) as session:
        end = await session.run([os.fspath(program), "--help"], timeout=60)
    assert end.exit_status == 0
    assert b"Run jobs on this host" in end.stdout


async def test_two_versions_are_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade lies beside the one before; the one before that goes."""
    whole = Shelf.release

    async def release(name: str) -> None:
        def named(self: Shelf, facts: Any) -> Release:
            return msgspec.structs.replace(whole(self, facts), name=name)

        with monkeypatch.context() as patched:
            patched.setattr(Shelf, "release", named)
            assert "program" in (await bench.apply(mode="agent", broker_url=None)).changes

    for name in ("one", "two", "three"):
        await release(name)
    program = bench.folder / "dts" / "program"
    assert {path.name for path in (program / "versions").iterdir()} == {"two", "three"}
    assert os.fspath((program / "current").readlink()) == "versions/three"
    assert json.loads((program / "journal.json").read_text())["state"] == "done"
