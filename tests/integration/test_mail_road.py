"""Mail the whole road: heartbeats in, an owner of a data folder with its daemons, mail out."""

from pathlib import Path

import pytest

from dts_core import codec
from dts_core.brokers.base import HEARTBEATS, Message, Outgoing
from dts_core.daemons.base import running
from dts_core.errors import ConfigError
from dts_core.model import Disk
from dts_core.services.mail import post_test
from dts_core.services.users import LOCAL
from dts_core.settings import ConsumersSettings, PorterSettings, ServerFile, StethoscopeSettings
from dts_core.sqlite import OwnerLock
from dts_core.states import FINAL
from dts_core.testing import wait_until
from dts_core.wiring.owner import open_owner
from dts_core.wiring.ports import Control
from tests.support.beats import make_beat
from tests.support.mail import Sink
from tests.support.server import SECRET

QUICK = ConsumersSettings(stethoscope=StethoscopeSettings(clear_seconds=0.2))


async def beat(opened: Control, sequence: int, used: int) -> None:
    """A heartbeat of a host whose disk is so full, in percent."""
    services = opened.services
    disks = [Disk(mount="/", total=100, used=used)]
    body = codec.encode(make_beat(sequence=sequence, at=services.clock.now(), disks=disks))
    await services.broker.publish([Outgoing(HEARTBEATS, Message(body, type="Heartbeat"))])


async def test_alarm_and_its_end_are_mailed(tmp_path: Path) -> None:
    """The stethoscope's alarm becomes a job of the internal worker, and the administrators have it, then its end."""
    async with Sink(tmp_path, security="starttls", login=True) as sink:
        folder = tmp_path / "data"
        folder.mkdir(mode=0o700)
        lock = OwnerLock(folder)
        settings = ServerFile(consumer=QUICK, notify=sink.settings)
        try:
            async with open_owner(folder, settings) as opened, running(opened.parts):
                ada = {"_id": "ada", "role": "admin", "secret": SECRET}
                await opened.services.users.create(LOCAL, {**ada, "address": "ada@example.org"})
                assert (await opened.services.status.view(LOCAL)).mail == "on"
                await beat(opened, 1, 99)
                await wait_until(lambda: len(sink.taken) == 1)
                sequence = 1

                async def is_over() -> bool:
                    nonlocal sequence
                    sequence += 1
                    await beat(opened, sequence, 10)
                    return len(sink.taken) == 2

                await wait_until(is_over)
                await post_test(opened.services.jobs, LOCAL, "administrators")
                await wait_until(lambda: len(sink.taken) == 3)
        finally:
            lock.release()
        assert sink.subjects == [
            "[dts] critical: disk:/ on alpha",
            "[dts] over: disk:/ on alpha",
            "[dts] test",
        ]
        assert "/ 99% full" in sink.taken[0].text


async def test_without_a_server_nothing_fails(tmp_path: Path) -> None:
    """Alarms stay in the store, owed to nobody; a test by hand says that mail is off, and is not tried again."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    lock = OwnerLock(folder)
    try:
        async with open_owner(folder, ServerFile()) as opened, running(opened.parts):
            services = opened.services
            await beat(opened, 1, 99)

            async def is_open() -> bool:
                return bool(await services.store.alarms(open_only=True))

            await wait_until(is_open)
            (alarm,) = await services.store.alarms()
            assert alarm.notices == []
            job = await services.jobs.get(
                LOCAL, await post_test(services.jobs, LOCAL, "administrators"), wait_seconds=30
            )
            assert job.state in FINAL
            assert job.error is not None
            assert job.error.message.startswith("mail is off.")
            assert (await services.store.count_jobs()).states.get("failed") == 1
    finally:
        lock.release()


async def test_group_that_can_have_no_such_name(tmp_path: Path) -> None:
    """Said at the start, with the key, also while mail is off."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    lock = OwnerLock(folder)
    settings = ServerFile(consumer=ConsumersSettings(porter=PorterSettings(notify=["Night shift"])))
    try:
        with pytest.raises(ConfigError) as caught:
            async with open_owner(folder, settings):
                pass
    finally:
        lock.release()
    assert caught.value.key == "consumer.porter.notify"
