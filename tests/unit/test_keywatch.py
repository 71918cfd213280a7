"""A worker's public keys while it runs: new ones count, those taken out count no more, trouble changes nothing."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.hosting import keywatch
from dts_core.hosting.keywatch import KeyWatch
from dts_core.hosting.trust import trust_of
from dts_core.places import PUBLIC_KEYS
from dts_core.settings import LinkSettings, TrustSettings, WorkerFile
from dts_core.signing import Signer, Trust
from dts_core.signing.files import write_keys
from dts_core.signing.keys import new_pem
from dts_core.states import JobEvent
from dts_core.testing import wait_until
from tests.support.worker_process import InProcess, a_process, in_process
from tests.support.worker_road import Road

OLD = Signer(new_pem())
NEW = Signer(new_pem())
FIXED = Signer(new_pem())


class Watched:
    """A file of keys, and what became of it."""

    def __init__(self, folder: Path, *signers: Signer, required: bool = True) -> None:
        self.file = folder / "signing.pub"
        self.write(*signers)
        signing = TrustSettings(
            public_keys=[str(FIXED.public)] if required else [],
            public_keys_file=str(self.file),
            required=required,
        )
        settings = WorkerFile(broker=LinkSettings(url="amqp://localhost/"), signing=signing)
        self.told: list[list[str]] = []
        self.watch = KeyWatch(
            settings, trust_of(settings), lambda trust: self.told.append(trust.ids)
        )

    def write(self, *signers: Signer) -> None:
        write_keys(self.file, [signer.public for signer in signers])


def ids(*signers: Signer) -> list[str]:
    return sorted(signer.public.id for signer in signers)


async def test_a_new_key_counts_at_the_next_look(tmp_path: Path) -> None:
    """Also when it is asked for because of a signature; a look that finds nothing new tells nobody."""
    watched = Watched(tmp_path, OLD)
    await watched.watch.look()
    assert watched.told == []
    watched.write(OLD, NEW)
    await watched.watch.look_for_new()
    await watched.watch.look()
    assert watched.told == [ids(OLD, NEW, FIXED)]


async def test_a_key_that_is_taken_out_counts_no_more_after_two_looks(tmp_path: Path) -> None:
    """One look may meet a file that is being written; looks for a new key do not count. Keys of the settings stay."""
    watched = Watched(tmp_path, OLD, NEW)
    watched.write(NEW)
    await watched.watch.look()
    await watched.watch.look_for_new()
    assert watched.told == []
    watched.write(OLD, NEW)
    await watched.watch.look()
    watched.write()
    await watched.watch.look()
    await watched.watch.look_for_new()
    assert watched.told == []
    await watched.watch.look()
    assert watched.told == [ids(FIXED)]


async def test_a_file_that_cannot_be_used_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Gone, garbled, or writable by others: what was known stays, and the log says so once for each trouble."""
    watched = Watched(tmp_path, OLD)

    async def looks() -> int:
        for _ in range(3):
            await watched.watch.look()
        assert watched.told == []
        return sum("those that are known stay" in each.message for each in caplog.records)

    watched.file.unlink()
    assert await looks() == 1
    watched.file.write_text("no key\n")
    assert await looks() == 2
    watched.write(OLD, NEW)
    watched.file.chmod(0o666)
    assert await looks() == 3
    watched.file.chmod(0o600)
    await watched.watch.look()
    assert watched.told == [ids(OLD, NEW, FIXED)]


async def test_who_verifies_goes_on_to_verify(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without any key left nothing is run, whatever `required` says; the start alone decides otherwise."""
    watched = Watched(tmp_path, OLD, required=False)
    watched.write()
    await watched.watch.look()
    await watched.watch.look()
    assert watched.told == [[]]
    assert watched.watch.trust is not None
    assert "nothing is run" in caplog.text


async def test_who_verifies_nothing_begins_with_the_first_key(tmp_path: Path) -> None:
    """A file that comes later is taken in as well."""
    watched = Watched(tmp_path, required=False)
    assert watched.watch.trust is None
    await watched.watch.look()
    assert watched.told == []
    watched.write(NEW)
    await watched.watch.look()
    assert watched.told == [ids(NEW)]


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with Road(tmp_path) as found:
        yield found


async def ran(road: Road, source: str, *, times: int = 1) -> list[JobEvent]:
    """How jobs of one version ended, one after another."""
    events = []
    for _ in range(times):
        job = road.message(source)
        await road.send(job)
        events.append((await road.result(job.id)).event)
    return events


async def test_what_is_in_memory_and_on_disk_is_proved_anew(road: Road) -> None:
    """A version that ran a moment ago does not run by a key that is not trusted any more; signed again it does."""
    source = "def main(): return 1"
    async with in_process(road, Trust([road.signer.public])) as worker:
        assert await ran(road, source, times=2) == [JobEvent.FINISH] * 2
        worker.worker.loader.retrust(Trust([NEW.public]))
        assert await ran(road, source) == [JobEvent.FAIL]
        road.signer = NEW
        assert await ran(road, source) == [JobEvent.FINISH]
    assert len(road.requests) == 3


async def test_what_is_fetched_while_the_trust_changes_is_proved_by_the_new_one(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was proved a moment before is neither kept nor handed to whoever waits for it."""
    async with in_process(road, Trust([OLD.public])) as worker:
        loader, loop = worker.worker.loader, asyncio.get_running_loop()
        write, changed = loader._write, threading.Event()

        def change() -> None:
            road.signer = NEW
            loader.retrust(Trust([NEW.public]))
            changed.set()

        def write_late(*given: Any) -> None:
            write(*given)
            if not changed.is_set():
                loop.call_soon_threadsafe(change)
                assert changed.wait(60.0)

        monkeypatch.setattr(loader, "_write", write_late)
        road.signer = OLD
        version = road.add("def main(): return 1")
        assert await loader.source("test/function", version) == b"def main(): return 1"
        assert len(road.requests) == 2


async def follow(worker: InProcess, file: Path, *signers: Signer) -> KeyWatch:
    """Have a worker that was not started yet follow a file."""
    write_keys(file, [signer.public for signer in signers])
    settings = WorkerFile(
        broker=LinkSettings(url="amqp://localhost/"),
        signing=TrustSettings(public_keys_file=str(file)),
    )
    loader = worker.worker.loader
    watch = KeyWatch(settings, await asyncio.to_thread(trust_of, settings), loader.retrust)
    worker.worker.watch_keys(watch)
    return watch


async def test_the_first_signature_by_a_new_key_is_looked_up(
    road: Road, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for the next look, and no job fails between."""
    monkeypatch.setattr(keywatch, "LOOK_SECONDS", 3600.0)
    file = tmp_path / "keys"
    async with in_process(road) as worker:
        watch = await follow(worker, file, road.signer)
        write_keys(file, [road.signer.public, NEW.public])
        road.signer = NEW
        assert await ran(road, "def main(): return 1") == [JobEvent.FINISH]
        assert watch.trust is not None
        assert NEW.public.id in watch.trust.ids


async def test_a_process_follows_the_servers_key(road: Road) -> None:
    """`dts-worker`: the key beside the socket is another one, and counts alone, without a restart of the worker."""
    first, old = "def main(): return 1", road.signer
    async with a_process(road) as worker:
        assert await ran(road, first) == [JobEvent.FINISH]
        road.signer = NEW
        write_keys(road.folder / PUBLIC_KEYS, [NEW.public])
        assert await ran(road, "def main(): return 2") == [JobEvent.FINISH]
        gone = f"key {old.public.id} has signed are not run any more"
        await wait_until(lambda: gone in worker.said(), 60.0)
        road.signer = old
        assert await ran(road, "def main(): return 3") == [JobEvent.FAIL]
