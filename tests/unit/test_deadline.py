"""One deadline for all that a request waits for: no wait adds to another, and nobody long away is waited for."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog

from dts_core.brokers.base import Message, Outgoing, QueueSpec
from dts_core.brokers.rabbitmq import supervisor as module
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.brokers.rabbitmq.publishing import Parcel, Publisher
from dts_core.deadline import answer_within, apart, extended, time_left
from dts_core.errors import BrokerUnavailable, LoginRefused
from dts_core.settings import RabbitSettings
from dts_core.testing import wait_until

HOUR = 3600.0
WORK = QueueSpec("jobs.work")
CALLS: dict[str, Callable[[RabbitmqBroker], Awaitable[object]]] = {
    "declare": lambda broker: broker.declare(WORK),
    "publish": lambda broker: broker.publish([Outgoing("jobs.work", Message(b"x"))]),
    "fanout": lambda broker: broker.fanout("control", Message(b"x")),
    "stats": lambda broker: broker.stats(),
    "pause": lambda broker: broker.pause("jobs.work"),
    "resume": lambda broker: broker.resume("jobs.work"),
}


async def test_the_first_word_stands_unless_more_is_agreed_on() -> None:
    """An inner deadline may be shorter, never longer; a longer wait that was asked for moves it."""
    assert time_left(7.0, away_since=-HOUR) == 7.0  # nobody waits for a daemon
    with answer_within(HOUR):
        assert HOUR - 60 < time_left(math.inf) <= HOUR
        assert time_left(7.0) == 7.0
        with answer_within(2 * HOUR):
            assert time_left(math.inf) <= HOUR
        with answer_within(0):
            assert time_left(7.0) == 0
            with extended(HOUR):
                assert time_left(7.0) == 7.0
        assert time_left(7.0) == 7.0
    assert time_left(math.inf) == math.inf


async def test_an_absence_counts_from_its_beginning() -> None:
    """A short one is bridged, a long one is not waited for anew by each who asks."""
    now = asyncio.get_running_loop().time()
    with answer_within(HOUR):
        assert time_left(HOUR, away_since=now - HOUR / 2) <= HOUR / 2
        assert time_left(5.0, away_since=now - 6) == 0


@pytest.mark.parametrize("name", CALLS)
async def test_no_call_waits_for_a_broker_that_is_long_away(name: str) -> None:
    """Each has a deadline of an hour of its own, several in a row: with somebody waiting they take none of it."""
    broker = RabbitmqBroker(
        "amqp://guest:guest@127.0.0.1:9/v", settings=RabbitSettings(deadline_seconds=60)
    )
    broker._supervisor.away_since = asyncio.get_running_loop().time() - HOUR
    broker._supervisor.state = "away: connection refused"
    async with asyncio.timeout(30):
        with answer_within(HOUR), pytest.raises(BrokerUnavailable, match="RabbitMQ"):
            await CALLS[name](broker)


class Mute:
    """A plane whose broker confirms nothing."""

    is_blocked = False

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[None]] = []

    def publish(self, *_: Any, **__: Any) -> "asyncio.Future[None]":
        self.sent.append(asyncio.get_running_loop().create_future())
        return self.sent[-1]


@pytest.mark.parametrize("is_confirmed", [False, True])
async def test_a_connection_is_doubted_after_its_own_time_and_not_after_a_request_s(
    is_confirmed: bool,
) -> None:
    """A request that has little time left must not cost a connection that is only slower than that."""
    doubts: list[str] = []
    publisher = Publisher(window=10, deadline_seconds=0.5, in_doubt=doubts.append)
    plane: Any = Mute()
    publisher.use(plane)
    parcel = Parcel("", "queue", Message(b"x"), True, True)
    with answer_within(0), pytest.raises(BrokerUnavailable, match="unknown"):
        await publisher.publish([parcel])
    assert plane.sent
    assert not doubts
    if is_confirmed:
        plane.sent[0].set_result(None)
        later = publisher.publish([parcel])
        with pytest.raises(BrokerUnavailable):
            await later  # for as long as the first would have been waited for, and longer
        assert len(doubts) == 1  # of the second alone
    else:
        await wait_until(lambda: bool(doubts), 60)


class Refusing:
    """Connections that are refused, each for the next reason; the last one goes on."""

    reasons: list[Exception]
    made = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        type(self).made += 1

    async def connect(self) -> None:
        raise self.reasons[min(type(self).made, len(self.reasons)) - 1]

    async def end(self) -> None:
        """Nothing is open."""


async def test_each_reason_is_said_once_and_a_refused_login_is_tried_ever_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many tries, one line for each change of the reason; only somebody else can change a password."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def short(seconds: float) -> None:
        if seconds >= module.BACKOFF_FIRST_SECONDS:  # wait_until looks more often
            pauses.append(seconds)
        await sleep(0)

    class Reasons(Refusing):
        reasons = [OSError("refused")] * 10 + [LoginRefused("the broker refused the login.")]

    monkeypatch.setattr(module, "Connection", Reasons)
    monkeypatch.setattr(asyncio, "sleep", short)
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    broker = RabbitmqBroker("amqp://guest:guest@127.0.0.1:9/v")
    with structlog.testing.capture_logs() as logs:
        starting = asyncio.ensure_future(broker.start(timeout_seconds=HOUR))
        await wait_until(lambda: Reasons.made > 30, 60)
        starting.cancel()
        await asyncio.wait((starting,))
        await broker.close()
    told = [each["reason"] for each in logs if each["event"].startswith("RabbitMQ is away")]
    assert len(told) == 2, told
    assert "refused" in told[0]
    assert "Check the user and the password" in told[1]
    assert max(pauses[:9]) == module.BACKOFF_MAX_SECONDS
    assert pauses[29] == module.REFUSED_BACKOFF_MAX_SECONDS


async def test_what_goes_on_apart_goes_on_to_its_end() -> None:
    """Whoever gives up ends his own wait, and no deadline of his is known inside."""
    seen: list[float] = []
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()
        seen.append(time_left(HOUR))

    with answer_within(0):
        waiting = asyncio.ensure_future(apart(work()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    gate.set()
    await wait_until(lambda: bool(seen), 60)
    assert seen == [HOUR]
