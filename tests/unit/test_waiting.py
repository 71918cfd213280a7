"""Waiting for partners that are not there yet, and telling whether they answer."""

import asyncio

import pytest

from dts_core.errors import BrokerUnavailable, ConfigError, StoreUnavailable
from dts_core.hosting import waiting
from dts_core.hosting.roundtrips import AWAY_MAX_SECONDS, RoundTrips, Trip
from dts_core.hosting.waiting import Stopped, patiently


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PAUSE_FIRST_SECONDS", 0.001)


async def test_partner_that_comes_later(caplog: pytest.LogCaptureFixture) -> None:
    """It is tried until it is there; each reason is said once, in words."""
    reasons = ["refused.", "refused.", "no such host."]
    told: list[str] = []

    async def connect() -> str:
        if reasons:
            raise BrokerUnavailable(reasons.pop(0))
        return "here"

    caplog.set_level("INFO")
    assert await patiently("the broker", connect, asyncio.Event(), tell=told.append) == "here"
    assert told == ["waiting for the broker: refused.", "waiting for the broker: no such host."]
    assert caplog.text.count("refused.") == 1
    assert "the broker is there after" in caplog.text


async def test_stop_ends_the_wait() -> None:
    """While it tries, and while it pauses; what had begun is cancelled and cleaned up."""
    stop, began, cleaned = asyncio.Event(), asyncio.Event(), []

    async def hang() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    waiter = asyncio.ensure_future(patiently("the store", hang, stop))
    await began.wait()
    stop.set()
    with pytest.raises(Stopped):
        await waiter
    assert cleaned == [True]

    async def refuse() -> None:
        raise StoreUnavailable("away.")

    with pytest.raises(Stopped):
        await patiently("the store", refuse, stop)


async def test_cancel_ends_what_had_begun() -> None:
    """A wait that is cancelled from outside leaves nothing running."""
    began, cleaned = asyncio.Event(), []

    async def hang() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    waiter = asyncio.ensure_future(patiently("the store", hang, asyncio.Event()))
    await began.wait()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert cleaned == [True]


async def test_mistake_is_not_waited_out() -> None:
    """What no time will mend is told at once."""

    async def wrong() -> None:
        raise ConfigError("the key does not fit.")

    with pytest.raises(ConfigError):
        await patiently("the broker", wrong, asyncio.Event())


class Partner:
    """Answers, or not; says whether it is known to be away."""

    def __init__(self) -> None:
        self.answers = True
        self.away = False
        self.asked = 0

    async def go(self) -> None:
        self.asked += 1
        if not self.answers:
            raise BrokerUnavailable("no answer.")

    def words(self) -> str:
        return "away for 7 s: refused" if self.away else ""


async def test_round_trips() -> None:
    """Up; away and known to be; said to be there, and silent."""
    broker, store = Partner(), Partner()
    trips = RoundTrips({"store": Trip(store.go), "broker": Trip(broker.go, broker.words)})
    assert await trips() == "store up, broker up"
    broker.answers, broker.away = False, True
    asked = broker.asked
    assert await trips() == "store up, broker away for 7 s: refused"
    assert broker.asked == asked  # it would only have waited
    broker.away = False
    with pytest.raises(BrokerUnavailable):
        await trips()
    broker.answers = True
    assert await trips() == "store up, broker up"


async def test_partner_that_says_nothing_of_itself() -> None:
    """It is excused for a while only."""
    store, now = Partner(), [0.0]
    trips = RoundTrips({"store": Trip(store.go)}, clock=lambda: now[0])
    store.answers = False
    assert (await trips()).startswith("store away for 0 s")
    now[0] = AWAY_MAX_SECONDS - 1
    assert await trips()
    now[0] = AWAY_MAX_SECONDS + 1
    with pytest.raises(BrokerUnavailable):
        await trips()
