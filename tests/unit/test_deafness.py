"""A stethoscope that cannot hear accuses nobody: one alarm names the broker, and hosts have their chance afterwards."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dts_core.daemons.deafness import BROKER, DEAF_SECONDS
from dts_core.daemons.diagnosis import FLEET, LOST
from dts_core.daemons.ear import Ear
from dts_core.daemons.stethoscope import Stethoscope
from dts_core.errors import BrokerUnavailable
from dts_core.model import Alarm, ProgressReport
from dts_core.settings import StethoscopeSettings
from dts_core.testing import ManualClock
from tests.support.beats import Ears, make_beat, open_ears

HOSTS = ["alpha", "beta", "gamma", "delta", "epsilon"]


class Line:
    """Hosts, and a stethoscope with its ear, behind a broker that comes and goes; time by the clock."""

    def __init__(self, ears: Ears, clock: ManualClock) -> None:
        self.clock = clock
        self.ears = ears
        self.ear = Ear(ears.broker, ears.store, clock, "me")
        self.stethoscope = Stethoscope(
            ears.broker, ears.store, StethoscopeSettings(), clock, ear=self.ear
        )
        self.silent: set[str] = set()
        self.is_away = False
        self.alarms: list[Alarm] = []
        self.sequence = 0

    async def live(self, seconds: int) -> None:
        """Every second a proof and a look at silence, every second one the beats of all."""
        for second in range(seconds):
            self.clock.advance(1)
            text = self.ear._hearing.proof()
            if self.is_away:
                self.ear.trouble = "RabbitMQ at mq:5672/v is away for 9 s: refused."
            else:
                self.ear.trouble = ""
                proof = ProgressReport(host="", worker=text, items=[])
                await self.stethoscope.operate_batch([proof])
                await self.beat(second)
            self.stethoscope.review()
            self.alarms += self.stethoscope._alarms.values()
            self.stethoscope._alarms.clear()

    async def beat(self, second: int) -> None:
        self.sequence += 1
        if second % 2 == 0:
            heard = [host for host in HOSTS if host not in self.silent]
            at = self.clock.now()
            await self.stethoscope.operate_batch(
                [make_beat(host, sequence=self.sequence, at=at) for host in heard]
            )

    def told(self) -> list[tuple[str, str, bool]]:
        """(host, rule, whether it is over) of each alarm since the last time."""
        found = [(each.host, each.rule, each.closed_at is not None) for each in self.alarms]
        self.alarms.clear()
        return found

    def states(self) -> set[str]:
        return {patient.state.value for patient in self.stethoscope.fleet.hosts.values()}


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    clock = ManualClock()
    async with open_ears(tmp_path, clock) as ears:
        yield Line(ears, clock)


async def test_a_broker_that_is_away_is_one_alarm_and_no_host_is_accused(line: Line) -> None:
    """It names what is away and why, and ends with the first proof that comes back."""
    await line.live(60)
    assert line.told() == []
    line.is_away = True
    await line.live(3600)
    [alarm] = line.alarms
    assert "RabbitMQ at mq:5672/v is away" in alarm.text
    assert line.told() == [("", BROKER, False)]
    assert line.states() == {"up"}
    line.is_away = False
    await line.live(60)
    assert line.told() == [("", BROKER, True)]


async def test_who_is_still_silent_when_the_broker_is_back_is_told_after_a_whole_window(
    line: Line,
) -> None:
    """Not before, whatever was heard of it last; a host that was lost before stays lost and has no second alarm."""
    await line.live(60)
    line.silent = {"alpha"}
    await line.live(30)
    assert line.told() == [("alpha", LOST, False)]
    line.silent = {"alpha", "beta"}
    await line.live(5)
    line.is_away = True
    await line.live(600)
    line.is_away = False
    await line.live(14)
    assert line.told() == [("", BROKER, False), ("", BROKER, True)]
    assert line.stethoscope.fleet.hosts["alpha"].state == "lost"
    await line.live(4)
    assert line.told() == [("beta", LOST, False)]


async def test_hosts_that_fall_silent_while_we_hear_are_an_alarm_of_theirs(line: Line) -> None:
    """Our own proofs come back: it is the hosts, or the way to them."""
    await line.live(60)
    line.silent = set(HOSTS)
    await line.live(30)
    assert line.told() == [("", FLEET, False)]


async def test_a_pause_of_our_own_is_no_absence_of_the_broker(line: Line) -> None:
    """A process that stood still has sent nothing that could have come back."""
    await line.live(60)
    line.clock.advance(600)
    line.stethoscope.review()
    await line.live(60)
    assert line.told() == []


async def test_an_alarm_of_before_a_restart_ends_once_somebody_is_heard(line: Line) -> None:
    """Another one leads now: it knows the alarm from the store, and needs a proof of its own to end it."""
    await line.live(10)
    line.is_away = True
    await line.live(int(DEAF_SECONDS) + 3)
    await line.ears.store.save_alarm(line.alarms[-1])
    follower = Line(line.ears, line.clock)
    await follower.stethoscope.restore()
    follower.is_away = True
    await follower.live(30)
    assert follower.told() == []
    follower.is_away = False
    await follower.live(2)
    assert follower.told() == [("", BROKER, True)]


async def test_what_a_proof_failed_of_is_kept_for_the_alarm(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And forgotten once one is sent again."""

    async def refuse(*_: object) -> None:
        raise BrokerUnavailable("RabbitMQ is away.")

    with monkeypatch.context() as patch:
        patch.setattr(line.ears.broker, "publish", refuse)
        await one_round(line.ear, monkeypatch)
        assert line.ear.trouble == "RabbitMQ is away."
    await one_round(line.ear, monkeypatch)
    assert line.ear.trouble == ""


async def one_round(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """One turn of its loop."""

    class Enough(Exception):
        """Ends the loop."""

    async def end(seconds: float) -> None:
        raise Enough

    with monkeypatch.context() as patch:
        patch.setattr("dts_core.daemons.ear.asyncio.sleep", end)
        with pytest.raises(Enough):
            await ear.run()
