"""The broker's contract: queues of work, bounded queues, fanouts, requests."""

import asyncio

import msgspec
import pytest

from dts_core.brokers.base import Message, Outgoing, QueueKind, QueueSpec
from dts_core.errors import BrokerUnavailable, QueueNotFound, TooLarge
from dts_core.testing import wait_until
from tests.contract.broker_backends import Backend
from tests.support.taking import Taker, outgoing, stands, until_stands

WORK = QueueSpec("work")
NAMES = [f"m{number:03}" for number in range(50)]


async def test_messages_come_in_order_and_end_with_their_ack(backend: Backend) -> None:
    """Within a priority the order of publication is the order of delivery; an ack ends a message."""
    side = await backend.side()
    await side.declare(WORK)
    await side.publish(outgoing("work", NAMES))
    taker = await (await Taker.on(side, "work")).has(50)
    assert taker.ids == NAMES
    assert not any(delivery.redelivered for delivery in taker.deliveries)
    assert await stands(side, "work") == (0, 50)
    taker.ack()
    await until_stands(side, "work", 0)


async def test_properties_survive(backend: Backend) -> None:
    """Body and every property arrive as they were published."""
    side = await backend.side()
    await side.declare(WORK)
    message = Message(
        b"\x00\xff", type="T", message_id="i", correlation_id="c", reply_to="reply.x", priority=3,
        timestamp=12.5, app_id="me", content_type="t", content_encoding="e", headers={"k": [1, "v"]},
    )  # fmt: skip
    await side.publish([Outgoing("work", message)])
    taker = await (await Taker.on(side, "work")).has(1)
    vouched = msgspec.structs.replace(message, user_id=backend.promises.vouches_for)
    assert taker.deliveries[0].message == vouched
    assert taker.deliveries[0].queue == "work"


async def test_higher_priorities_come_first(backend: Backend) -> None:
    """A job of priority 9 goes before 4 before 0, each in its own order, whoever came first."""
    side = await backend.side()
    await side.declare(QueueSpec("jobs.x"))
    await side.publish(outgoing("jobs.x", ["low1", "low2"]))
    await side.publish(outgoing("jobs.x", ["mid"], priority=4))
    await side.publish(outgoing("jobs.x", ["top1", "top2"], priority=9))
    taker = await (await Taker.on(side, "jobs.x")).has(5)
    assert taker.ids == ["top1", "top2", "mid", "low1", "low2"]


async def test_higher_priorities_come_first_while_a_consumer_is_full(backend: Backend) -> None:
    """What is more urgent takes the next place that is free, though others have waited longer."""
    side = await backend.side()
    await side.declare(QueueSpec("jobs.x"))
    taker = await Taker.on(side, "jobs.x", prefetch=2)
    await side.publish(outgoing("jobs.x", NAMES[:6]))
    await taker.has(2)
    await side.publish(outgoing("jobs.x", ["top"], priority=9))
    # With bands of their own the more urgent ones wait beside the consumer.
    ready, held = (5, 2) if backend.promises.strict_priorities else (4, 3)
    await until_stands(side, "jobs.x", ready, held)
    taker.ack("m000")
    await taker.has(3)
    assert taker.ids == ["m000", "m001", "top"]


async def test_ten_priorities(backend: Backend) -> None:
    """Where they are strict, each goes before the lower ones."""
    side = await backend.side()
    await side.declare(WORK)
    order = [3, 9, 0, 7, 1, 8, 5, 2, 6, 4]
    for priority in order:
        await side.publish(outgoing("work", [str(priority)], priority=priority))
    taker = await (await Taker.on(side, "work")).has(10)
    strict = sorted(order, reverse=True)
    expected = strict if backend.promises.strict_priorities else order
    assert taker.ids == [str(priority) for priority in expected]


async def test_prefetch_bounds_what_is_unacked(backend: Backend) -> None:
    """Never more than `prefetch` are out; an ack makes room, `grant` changes the bound, 0 pauses."""
    side = await backend.side()
    await side.declare(WORK)
    await side.publish(outgoing("work", NAMES))
    taker = await (await Taker.on(side, "work", prefetch=3)).has(3)
    assert await stands(side, "work") == (47, 3)
    taker.ack("m000")
    await taker.has(4)
    await until_stands(side, "work", 46, 3)
    assert taker.consumption is not None
    taker.consumption.grant(0)
    taker.ack("m001", "m002")
    await until_stands(side, "work", 46, 1)
    taker.consumption.grant(10)
    await until_stands(side, "work", 37, 10)
    assert taker.ids == NAMES[:13]


async def test_nack_with_requeue_returns_to_the_front(backend: Backend) -> None:
    """What is handed back comes next, before what was behind it, marked as redelivered."""
    side = await backend.side()
    await side.declare(WORK)
    await side.publish(outgoing("work", ["a", "b", "c", "d"]))
    taker = await (await Taker.on(side, "work", prefetch=2)).has(2)
    assert taker.consumption is not None
    taker.consumption.grant(0)
    taker.nack("b", "a")
    await until_stands(side, "work", 4)
    taker.consumption.grant(4)
    await taker.has(6)
    assert taker.ids[2:] == ["a", "b", "c", "d"]
    assert [delivery.redelivered for delivery in taker.deliveries[2:]] == [True, True, False, False]


async def test_refused_messages_are_dead_letters_with_their_reason(backend: Backend) -> None:
    """nack without requeue moves the message to the dead letters; nothing of it is lost, and it never comes again."""
    side = await backend.side()
    await side.declare(WORK)
    await side.publish(outgoing("work", ["good", "bad"]))
    taker = await (await Taker.on(side, "work")).has(2)
    taker.nack("bad", requeue=False, reason="no \x1b[31msense")
    taker.ack("good")
    await until_stands(side, "work", 0)

    async def is_dead() -> bool:
        return len(await side.dead_letters()) == 1

    await wait_until(is_dead)
    (letter,) = await side.dead_letters()
    assert (letter.queue, letter.message.message_id, letter.message.body) == ("work", "bad", b"bad")
    assert letter.reason == "no \\x1b[31msense"
    (stats,) = await side.stats()
    assert stats.dead == 1
    assert await side.dead_letters(before=letter.seq) == []


async def test_a_message_that_always_comes_back_is_dead_in_the_end(backend: Backend) -> None:
    """The poison limit: 20 returns without an end. Where there is none, it goes on coming."""
    side = await backend.side()
    await side.declare(WORK)
    await side.publish(outgoing("work", ["poison"]))
    taker = await Taker.on(side, "work")
    limit = backend.promises.poison_deliveries
    for count in range(1, (limit or 30) + 1):
        await taker.has(count)
        taker.nack(requeue=True)
    if not limit:
        await taker.has(31)
        return
    await until_stands(side, "work", 0)

    async def is_dead() -> bool:
        return bool(await side.dead_letters())

    await wait_until(is_dead)
    assert "20 times" in (await side.dead_letters())[0].reason
    assert len(taker.deliveries) == limit


async def test_a_lost_link_redelivers_what_it_had(backend: Backend) -> None:
    """Unacked deliveries belong to their link: they are ready again, in order, when it is lost; acked ones are not."""
    first, second = await backend.side(), await backend.side()
    await first.declare(WORK)
    await second.declare(WORK)
    await first.publish(outgoing("work", NAMES[:10]))
    lost = await (await Taker.on(first, "work", prefetch=6)).has(6)
    lost.ack("m001")
    await lost.has(7)
    seen = backend.promises.seen
    await until_stands(second, "work", 3, seen(6))
    assert lost.consumption is not None
    lost.consumption.grant(0)
    await until_stands(second, "work", 3, seen(6))
    await backend.cut(first)
    await until_stands(second, "work", 9)
    taker = await (await Taker.on(second, "work")).has(9)
    assert taker.ids == ["m000", *NAMES[2:10]]
    assert [d.message.message_id for d in taker.deliveries if d.redelivered] == [
        "m000", *NAMES[2:7],
    ]  # fmt: skip


async def test_closing_a_consumer_returns_what_it_had(backend: Backend) -> None:
    """A consumer that stops hands back what it did not ack; a second close does nothing."""
    side = await backend.side()
    await side.declare(WORK)
    await side.publish(outgoing("work", NAMES[:4]))
    taker = await (await Taker.on(side, "work")).has(4)
    taker.ack("m000")
    await taker.close()
    await taker.close()
    await until_stands(side, "work", 3)
    (stats,) = await side.stats()
    assert stats.consumers == 0
    taker.ack()  # tags that are nobody's any more
    again = await (await Taker.on(side, "work")).has(3)
    assert again.ids == NAMES[1:4]


async def test_deliveries_wait_for_their_consumption(backend: Backend) -> None:
    """A callback may ack through what `consume` returns: none is called before."""
    side = await backend.side()
    await side.declare(WORK)
    await side.publish(outgoing("work", NAMES))
    consumption = await side.consume(
        "work", lambda batch: consumption.ack([d.tag for d in batch]), prefetch=10
    )
    await until_stands(side, "work", 0)


async def test_consumers_share_a_queue(backend: Backend) -> None:
    """Each message goes to one consumer, and none of two idle ones is left out."""
    first, second = await backend.side(), await backend.side()
    await first.declare(WORK)
    one, two = await Taker.on(first, "work"), await Taker.on(second, "work")
    await first.publish(outgoing("work", NAMES))
    await wait_until(lambda: len(one.deliveries) + len(two.deliveries) == 50)
    assert one.deliveries
    assert two.deliveries
    assert sorted(one.ids + two.ids) == NAMES


async def test_unknown_queues_are_refused(backend: Backend) -> None:
    """A queue that was never declared takes nothing, and nothing of a publication that names one is published."""
    side = await backend.side()
    await side.declare(WORK)
    with pytest.raises(QueueNotFound):
        await side.publish([*outgoing("work", ["a"]), *outgoing("none", ["b"])])
    with pytest.raises(QueueNotFound):
        await Taker.on(side, "none")
    assert await stands(side, "work") == (0, 0)


async def test_too_large_a_message_is_refused(backend: Backend) -> None:
    """A body that fits no frame is refused with its size, on every road alike."""
    side = await backend.side()
    await side.declare(WORK)
    with pytest.raises(TooLarge):
        await side.publish([Outgoing("work", Message(b"x" * (8 << 20)))])
    large = b"y" * (5 << 20)
    await side.publish([Outgoing("work", Message(large, message_id="a"))] * 2)
    taker = await (await Taker.on(side, "work")).has(2)
    assert [d.message.body == large for d in taker.deliveries] == [True, True]


async def test_declaring_again_changes_nothing(backend: Backend) -> None:
    """A queue keeps its messages and its kind when it is declared once more."""
    side = await backend.side()
    await side.declare(WORK)
    await side.publish(outgoing("work", ["a"]))
    await side.declare(QueueSpec("work", QueueKind.BOUNDED, limit=1))
    assert await stands(side, "work") == (1, 0)


async def test_bounded_queues_drop_their_oldest(backend: Backend) -> None:
    """A bounded queue keeps the newest messages and counts what it dropped."""
    side = await backend.side()
    await side.declare(QueueSpec("beats", QueueKind.BOUNDED, limit=3))
    await side.publish(outgoing("beats", NAMES[:5]))
    (stats,) = await side.stats()
    assert (stats.ready, stats.dropped, stats.published) == (3, backend.promises.seen(2), 5)
    taker = await (await Taker.on(side, "beats")).has(3)
    assert taker.ids == NAMES[2:5]
    taker.ack()
    await until_stands(side, "beats", 0)


async def test_bounded_queues_redeliver_and_bury(backend: Backend) -> None:
    """Bounded queues keep the promises of a delivery too: returned ones come again, refused ones are dead letters."""
    side = await backend.side()
    await side.declare(QueueSpec("beats", QueueKind.BOUNDED, limit=10))
    await side.publish(outgoing("beats", ["a", "b"]))
    taker = await (await Taker.on(side, "beats")).has(2)
    taker.nack("a")
    await taker.has(3)
    assert taker.ids == ["a", "b", "a"]
    taker.nack("b", requeue=False, reason="garbage")

    async def is_dead() -> bool:
        return [letter.reason for letter in await side.dead_letters()] == ["garbage"]

    await wait_until(is_dead)


async def test_a_fanout_that_nobody_ever_heard_costs_nothing(backend: Backend) -> None:
    """A fanout of any name goes nowhere without subscribers, and what is published beside it arrives."""
    one = await backend.side()
    await one.declare(QueueSpec("w"))
    for name in ("first", "second"):
        await one.fanout("unheard", Message(b"lost"))
        await one.publish(outgoing("w", [name]))
    taker = await (await Taker.on(one, "w")).has(2)
    assert taker.ids == ["first", "second"]
    await taker.close()


async def test_fanouts_reach_every_subscriber(backend: Backend) -> None:
    """Each subscriber hears each message in order, from its subscription until it closes."""
    one, two = await backend.side(), await backend.side()
    heard: dict[str, list[str]] = {"one": [], "two": []}
    await one.fanout("control", Message(b"before"))
    first = await one.subscribe("control", lambda m: heard["one"].append(m.message_id))
    await two.subscribe("control", lambda m: heard["two"].append(m.message_id))
    for name in NAMES:
        await two.fanout("control", Message(b"", message_id=name))
    await wait_until(lambda: [len(ids) for ids in heard.values()] == [50, 50])
    assert heard == {"one": NAMES, "two": NAMES}
    assert first.dropped == 0
    await first.close()
    await first.close()
    await one.stats()  # the answer comes after the unsubscription took effect
    await two.fanout("control", Message(b"", message_id="after"))
    await wait_until(lambda: heard["two"][-1] == "after")
    assert heard["one"] == NAMES


async def test_requests_are_answered(backend: Backend) -> None:
    """An answer reaches the one who asked, by its own reply name and correlation."""
    server, client = await backend.side(), await backend.side()
    await server.declare(QueueSpec("requests", QueueKind.REQUEST))
    taker = await Taker.on(server, "requests")
    asking = [
        asyncio.ensure_future(client.request("requests", Message(str(n).encode())))
        for n in range(5)
    ]
    await taker.has(5)
    for delivery in reversed(taker.deliveries):
        question = delivery.message
        answer = Message(b"re " + question.body, correlation_id=question.correlation_id)
        await server.publish([Outgoing(question.reply_to, answer)])
    taker.ack()
    answers = await asyncio.gather(*asking)
    assert [answer.body for answer in answers] == [b"re 0", b"re 1", b"re 2", b"re 3", b"re 4"]


async def test_requests_that_nobody_takes_end_in_time(backend: Backend) -> None:
    """Who asks where nobody answers is told so, and the question is not answered to nobody later."""
    side = await backend.side()
    await side.declare(QueueSpec("requests", QueueKind.REQUEST))
    with pytest.raises(BrokerUnavailable):
        await side.request("requests", Message(b"?"), timeout_seconds=0.05)
    if backend.promises.takes_back_questions:
        assert await stands(side, "requests") == (0, 0)
    with pytest.raises(QueueNotFound):
        await side.request("none", Message(b"?"))


async def test_answers_to_nobody_are_dropped(backend: Backend) -> None:
    """A late or invented answer is kept nowhere, and the next question gets its own."""
    side = await backend.side()
    await side.declare(QueueSpec("requests", QueueKind.REQUEST))
    before = {stats.name: (stats.ready, stats.dead) for stats in await side.stats()}
    await side.publish([Outgoing("reply.nobody", Message(b"late", correlation_id="none"))])
    assert {stats.name: (stats.ready, stats.dead) for stats in await side.stats()} == before
    assert await side.dead_letters() == []
    taker = await Taker.on(side, "requests")
    asking = asyncio.ensure_future(side.request("requests", Message(b"?")))
    await taker.has(1)
    question = taker.deliveries[0].message
    for wrong in ("none", question.correlation_id):
        answer = Message(b"own" if wrong != "none" else b"invented", correlation_id=wrong)
        await side.publish([Outgoing(question.reply_to, answer)])
    assert (await asking).body == b"own"
    taker.ack()


async def test_messages_survive_a_restart(backend: Backend) -> None:
    """What was published and not acked is ready after a restart, with its priority and its count of returns."""
    side = await backend.side()
    await side.declare(WORK)
    await side.publish(outgoing("work", NAMES[:5]))
    await side.publish(outgoing("work", ["top"], priority=7))
    taker = await (await Taker.on(side, "work", prefetch=3)).has(3)
    assert taker.consumption is not None
    taker.consumption.grant(0)
    taker.ack("m000")
    taker.nack("m001", requeue=False, reason="dead")
    await until_stands(side, "work", 3, 1)
    await backend.restart()
    side = await backend.side()
    await side.declare(WORK)
    (stats,) = await side.stats()
    assert (stats.ready, stats.unacked, stats.dead) == (4, 0, 1)
    assert (stats.oldest_seconds > 0) == backend.promises.sees_all
    again = await (await Taker.on(side, "work")).has(4)
    if backend.promises.strict_priorities:
        assert again.ids == ["top", *NAMES[2:5]]
    assert sorted(again.ids) == [*NAMES[2:5], "top"]


async def test_stats_count_the_road_of_messages(backend: Backend) -> None:
    """Every declared queue by name, with what was published, delivered and acked."""
    side = await backend.side()
    await side.declare(WORK)
    await side.declare(QueueSpec("beats", QueueKind.BOUNDED))
    await side.publish(outgoing("work", NAMES[:4]))
    taker = await (await Taker.on(side, "work", prefetch=2)).has(2)
    taker.ack("m000")
    await taker.has(3)
    await until_stands(side, "work", 1, 2)
    beats, work = await side.stats()
    assert (beats.name, beats.ready, beats.oldest_seconds) == ("beats", 0, 0.0)
    assert (work.published, work.delivered, work.acked, work.consumers) == (4, 3, 1, 1)
    assert (work.ready, work.unacked) == (1, 2)
