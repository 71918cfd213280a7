"""Each alarm and each recovery is mailed exactly once, wherever the process is cut off, on either store."""

import random
import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from dts_core.daemons.notifying import Notifier
from dts_core.daemons.stethoscope import Stethoscope
from dts_core.errors import StoreUnavailable
from dts_core.model import Alarm, Disk
from dts_core.services.building import build_jobs
from dts_core.services.mail import MAILER, post
from dts_core.services.mailtext import Letter
from dts_core.services.users import USERS
from dts_core.settings import NotifySettings, StethoscopeSettings
from dts_core.testing import ManualClock
from tests.contract.store_backends import Engine
from tests.support.beats import make_beat
from tests.support.brokers import RecordingBroker
from tests.support.mail import Sink
from tests.support.mailing import Post
from tests.support.people import add_user

SETTINGS = StethoscopeSettings(clear_seconds=0.5)
MANY = NotifySettings(mails_max=1000)
FEW = NotifySettings(mails_max=2, window_seconds=60)
LINE = re.compile(r"^(\S+ \S+) UTC  (\w+)  (\S+)  disk:/ ", re.MULTILINE)
OWN = re.compile(r"^\[dts\] (critical|over): disk:/ on (\S+)$")


class Control:
    """A stethoscope over a store, that can be cut off anywhere and started anew."""

    def __init__(self, engine: Engine, clock: ManualClock, settings: NotifySettings) -> None:
        self._engine = engine
        self._clock = clock
        self._settings = settings
        self._sequence = 0
        self.full: set[str] = set()
        self.hosts: list[str] = ["h0"]
        self.failing = ""
        """Of what is submitted: nothing is kept (`before`), or it is and nobody hears of it (`after`)."""
        self._jobs = build_jobs(
            engine.store, engine.intake, RecordingBroker(), clock, result_max=1 << 20
        )
        self.stethoscope: Stethoscope

    async def start(self) -> None:
        """As a new process."""
        notifier = Notifier("stethoscope", self._settings, self._clock, self._submit)
        self.stethoscope = Stethoscope(
            RecordingBroker(), self._engine.store, SETTINGS, self._clock, notifier=notifier
        )
        await self.stethoscope.restore()

    async def _submit(self, key: str, letter: Letter) -> None:
        if self.failing == "before":
            raise StoreUnavailable("the store is away.")
        await post(self._jobs, MAILER, ["administrators"], letter, key=key)
        if self.failing == "after":
            raise StoreUnavailable("the store is away.")

    async def beat(self) -> None:
        """A second later every host beats."""
        self._clock.advance(1)
        self._sequence += 1
        await self.stethoscope.operate_batch(
            [
                make_beat(
                    host,
                    sequence=self._sequence,
                    at=self._clock.now(),
                    disks=[Disk(mount="/", total=100, used=99 if host in self.full else 9)],
                )
                for host in self.hosts
            ]
        )

    async def notify(self) -> None:
        """Whatever comes of it."""
        try:
            await self.stethoscope.notify()
        except StoreUnavailable:
            assert self.failing

    async def settle(self) -> None:
        """Until nothing is owed: what is on its way, and the digest of the last window."""
        self.failing = ""
        for _ in range(3):
            await self.stethoscope.flush()
            await self.stethoscope.notify()
            self._clock.advance(self._settings.window_seconds)
        await self.stethoscope.flush()

    async def alarms(self) -> list[Alarm]:
        return await self._engine.store.alarms(limit=1000)

    async def letters(self) -> list[Letter]:
        """What every job says."""
        jobs = await Post(
            self._engine.store, self._engine.intake, self._clock, NotifySettings()
        ).accepted()
        return [msgspec.json.decode(job.kwargs, type=Letter) for job in jobs]


@pytest.fixture
async def control(engine: Engine, clock: ManualClock) -> Control:
    made = Control(engine, clock, MANY)
    await made.start()
    return made


def told(letters: list[Letter]) -> Counter[tuple[str, str]]:
    """(host, opened | closed) -> how often, in mails of their own and in digests."""
    found: Counter[tuple[str, str]] = Counter()
    for letter in letters:
        if own := OWN.match(letter.subject):
            found[own[2], _of(own[1])] += 1
        else:
            found.update((line[3], _of(line[2])) for line in LINE.finditer(letter.text))
    return found


def owed(alarms: list[Alarm]) -> Counter[tuple[str, str]]:
    """The same of what is in the store."""
    found: Counter[tuple[str, str]] = Counter()
    for alarm in alarms:
        found[alarm.host, "opened"] += 1
        if alarm.closed_at is not None:
            found[alarm.host, "closed"] += 1
    return found


def _of(word: str) -> str:
    return "closed" if word == "over" else "opened"


CUTS = (
    "nowhere",
    "before it is written",
    "before it is submitted",
    "before its answer",
    "before it is marked",
)


async def through(control: Control, cut: str) -> None:
    """What changed is written, submitted and marked, by two processes of which the first ends at `cut`."""
    if cut == "before it is written":
        await control.start()
        await control.beat()
        await control.beat()
    await control.stethoscope.flush()
    if cut == "before it is submitted":
        await control.start()
    if cut == "before its answer":
        control.failing = "after"
        await control.notify()
        control.failing = ""
        await control.start()
    await control.notify()
    if cut == "before it is marked":
        await control.start()
        await control.notify()
    await control.stethoscope.flush()


@pytest.mark.parametrize("cut", CUTS)
async def test_cut_off_anywhere(
    control: Control, engine: Engine, clock: ManualClock, tmp_path: Path, cut: str
) -> None:
    """One mail says that it opened and one that it is over; the server has both, once."""
    await add_user(engine.store, USERS.name, "ada", clock, address="ada@example.org")
    await control.beat()
    control.full = {"h0"}
    await control.beat()
    await through(control, cut)
    control.full = set()
    for _ in range(3):
        await control.beat()
    await through(control, cut)
    await control.settle()
    (alarm,) = await control.alarms()
    assert [(notice.of, notice.sent) for notice in alarm.notices] == [
        ("opened", True),
        ("closed", True),
    ]
    async with Sink(tmp_path) as sink:
        await Post(engine.store, engine.intake, clock, sink.settings).run_all()
        assert sink.subjects == ["[dts] critical: disk:/ on h0", "[dts] over: disk:/ on h0"]


@pytest.mark.parametrize("settings", [MANY, FEW], ids=["own", "digests"])
async def test_any_order_of_faults(
    engine: Engine, clock: ManualClock, settings: NotifySettings
) -> None:
    """Alarms come and go on several hosts while processes are cut off and submissions fail: nothing lost or doubled."""
    control = Control(engine, clock, settings)
    control.hosts = [f"h{number}" for number in range(4)]
    await control.start()
    chance = random.Random(7)
    for _ in range(600):
        match chance.randrange(9):
            case 0:
                await control.start()
            case 1:
                control.full = {host for host in control.hosts if chance.random() < 0.4}
            case 2:
                control.failing = chance.choice(["", "", "before", "after"])
            case 3 | 4:
                await control.stethoscope.flush()
            case 5 | 6:
                await control.notify()
            case _:
                await control.beat()
    await control.settle()
    alarms = await control.alarms()
    assert len(alarms) > 10
    assert all(notice.sent for alarm in alarms for notice in alarm.notices)
    letters = await control.letters()
    assert told(letters) == owed(alarms)
    digests = [letter for letter in letters if "digest" in letter.subject]
    assert bool(digests) is (settings is FEW)


async def test_storm_is_few_mails_and_one_digest(engine: Engine, clock: ManualClock) -> None:
    """At most so many in a window, then one that tells of all the others; a new process keeps to the window."""
    control = Control(engine, clock, FEW)
    control.hosts = [f"h{number:02}" for number in range(20)]
    await control.start()
    await control.beat()
    for number in range(20):
        control.full.add(f"h{number:02}")
        await control.beat()
        await control.stethoscope.flush()
        await control.notify()
        await control.start()
    assert [letter.subject for letter in await control.letters()] == [
        "[dts] critical: disk:/ on h00",
        "[dts] critical: disk:/ on h01",
    ]
    clock.advance(60)
    await control.notify()
    letters = await control.letters()
    assert [letter.subject for letter in letters[2:]] == ["[dts] digest: 18 alarms opened, 0 over"]
    await control.settle()
    assert told(await control.letters()) == owed(await control.alarms())
    assert len(await control.letters()) == 3


async def test_alarms_from_a_time_without_mail_are_no_news(
    engine: Engine, clock: ManualClock
) -> None:
    """Mail that is switched on tells of what happens from then on: neither of what is open nor of its end."""
    control = Control(engine, clock, MANY)
    control.stethoscope = Stethoscope(RecordingBroker(), engine.store, SETTINGS, clock)
    await control.beat()
    control.full = {"h0"}
    await control.beat()
    await control.stethoscope.flush()
    await control.start()
    control.full = set()
    for _ in range(3):
        await control.beat()
    await control.settle()
    (alarm,) = await control.alarms()
    assert alarm.closed_at is not None
    assert alarm.notices == []
    assert await control.letters() == []


async def test_a_clock_that_was_set_back_loses_nothing(engine: Engine, clock: ManualClock) -> None:
    """A digest that is due long after the clock's new time goes out at once, and what follows has its own."""
    control = Control(engine, clock, FEW)
    control.hosts = [f"h{number}" for number in range(5)]
    await control.start()
    await control.beat()
    control.full = set(control.hosts)
    await control.beat()
    await control.stethoscope.flush()
    clock.step(-3600)
    control.full = set()
    for _ in range(3):
        await control.beat()
    await control.settle()
    assert told(await control.letters()) == owed(await control.alarms())


async def test_nothing_is_said_that_is_not_written(
    control: Control, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm that the store does not have yet would be another one after a crash, and told twice."""

    async def away(alarm: Alarm) -> bool:
        raise StoreUnavailable("the store is away.")

    await control.beat()
    control.full = {"h0"}
    await control.beat()
    with monkeypatch.context() as patched:
        patched.setattr(engine.store, "save_alarm", away)
        await control.stethoscope.flush()
        await control.notify()
        assert await control.letters() == []
    await control.stethoscope.flush()
    await control.notify()
    assert told(await control.letters()) == {("h0", "opened"): 1}


async def test_two_stethoscopes_at_once(engine: Engine, clock: ManualClock) -> None:
    """One that stood still and another that leads by now see the same: it is one alarm, told once, and once over."""
    first, second = Control(engine, clock, MANY), Control(engine, clock, MANY)
    for each in (first, second):
        await each.start()
        await each.beat()
        each.full = {"h0"}
        await each.beat()
    for each in (first, second, first, second):
        await each.stethoscope.flush()
        await each.notify()
    assert told(await first.letters()) == {("h0", "opened"): 1}
    second.full = set()
    for _ in range(3):
        await second.beat()
    await second.settle()
    (alarm,) = await second.alarms()
    assert alarm.closed_at is not None
    assert told(await second.letters()) == {("h0", "opened"): 1, ("h0", "closed"): 1}
