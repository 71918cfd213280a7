"""What only the embedded broker promises: publication inside another commit, windows over the file, operators' acts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dts_core.brokers.base import Message, Outgoing, QueueKind, QueueSpec
from dts_core.brokers.embedded import EmbeddedBroker, PreparedPublish, journal
from dts_core.brokers.embedded.queues import WINDOW
from dts_core.errors import QueueNotFound, TooLarge
from dts_core.sqlite import Connection
from dts_core.testing import wait_until
from tests.contract.broker_backends import Owner
from tests.support.taking import Taker, outgoing, stands, until_stands


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Owner]:
    owner = Owner(tmp_path)
    await start(owner)
    yield owner
    await owner.close()


async def start(owner: Owner) -> None:
    await owner.open()
    await owner.broker.declare(QueueSpec("work"))


@pytest.fixture
def broker(owner: Owner) -> EmbeddedBroker:
    return owner.broker


async def write(owner: Owner, prepared: PreparedPublish) -> None:
    await owner.database.write(prepared.write, durable=True)


async def test_messages_join_another_commit(owner: Owner, broker: EmbeddedBroker) -> None:
    """They are there with that commit, and handed over once it is announced."""
    taker = await Taker.on(broker, "work")
    prepared = broker.prepare(outgoing("work", ["a", "b"]))
    await write(owner, prepared)
    assert await stands(broker, "work") == (0, 0)
    prepared.done()
    prepared.done()
    await taker.has(2)
    assert taker.ids == ["a", "b"]


async def test_only_some_of_the_prepared_are_published(
    owner: Owner, broker: EmbeddedBroker
) -> None:
    """Which ones may be decided within the transaction."""
    prepared = broker.prepare(outgoing("work", ["a", "b", "c"]))
    await owner.database.write(lambda connection: prepared.write(connection, only=[0, 2]))
    prepared.done()
    none = broker.prepare(outgoing("work", ["d"]))
    await owner.database.write(lambda connection: none.write(connection, only=[]))
    none.done()
    taker = await (await Taker.on(broker, "work")).has(2)
    assert taker.ids == ["a", "c"]


async def test_what_is_rolled_back_is_not_published(owner: Owner, broker: EmbeddedBroker) -> None:
    """When the rest of the transaction fails nothing is there, and later messages are not disturbed."""
    prepared = broker.prepare(outgoing("work", ["a"]))

    def fail(connection: Connection) -> None:
        prepared.write(connection)
        raise ValueError("the rest failed")

    with pytest.raises(ValueError, match="the rest failed"):
        await owner.database.write(fail)
    await broker.publish(outgoing("work", ["b"]))
    await owner.close()
    await start(owner)
    taker = await (await Taker.on(owner.broker, "work")).has(1)
    assert taker.ids == ["b"]


async def test_announcements_in_another_order_change_nothing(
    owner: Owner, broker: EmbeddedBroker
) -> None:
    """Each message is handed over once, by its place in the file, whoever announces first."""
    first, second = (broker.prepare(outgoing("work", [name])) for name in "ab")
    await write(owner, first)
    await write(owner, second)
    second.done()
    first.done()
    taker = await (await Taker.on(broker, "work")).has(2)
    assert taker.ids == ["a", "b"]
    assert await stands(broker, "work") == (0, 2)


async def test_committed_but_unannounced_messages_are_read_once(owner: Owner) -> None:
    """A window that is read between commit and announcement does not hand a message over twice."""
    await owner.broker.publish(outgoing("work", ["a"]))
    await owner.close()
    await start(owner)  # now "a" is only in the file
    prepared = owner.broker.prepare(outgoing("work", ["b", "c"]))
    await write(owner, prepared)
    taker = await (await Taker.on(owner.broker, "work")).has(1)
    assert taker.ids == ["a"]
    prepared.done()
    await taker.has(3)
    assert taker.ids == ["a", "b", "c"]
    assert await stands(owner.broker, "work") == (0, 3)


async def test_prepared_items_are_checked(broker: EmbeddedBroker) -> None:
    """What cannot be published is refused before anything is written."""
    with pytest.raises(QueueNotFound):
        broker.prepare(outgoing("none", ["a"]))
    with pytest.raises(TooLarge):
        broker.prepare([*outgoing("work", ["a"]), Outgoing(
            "work", Message(b"x" * (9 << 20))
        )])  # fmt: skip


async def test_long_queues_stay_in_the_file(owner: Owner, broker: EmbeddedBroker) -> None:
    """Only a window is in memory; order, priorities and counts hold across it, also after a restart."""
    names = [f"{number:05}" for number in range(3 * WINDOW)]
    await broker.publish(outgoing("work", names))
    await broker.publish(outgoing("work", ["top"], priority=9))
    lanes = broker._outlets["work"].queue.lanes  # type: ignore[union-attr]
    assert sum(len(lane.memory) for lane in lanes) == WINDOW + 1
    assert await stands(broker, "work") == (3 * WINDOW + 1, 0)
    await owner.close()
    await start(owner)
    assert await stands(owner.broker, "work") == (3 * WINDOW + 1, 0)
    taker = await Taker.on(owner.broker, "work", prefetch=100, acks=True)
    await taker.has(WINDOW)
    await owner.broker.publish(outgoing("work", ["late"]))
    await until_stands(owner.broker, "work", 0)
    assert taker.ids == ["top", *names, "late"]


async def test_paused_queues_hand_out_nothing(broker: EmbeddedBroker) -> None:
    """Messages are taken but not handed over until the queue goes on."""
    taker = await Taker.on(broker, "work")
    await broker.pause("work")
    await broker.publish(outgoing("work", ["a"]))
    (stats,) = await broker.stats()
    assert (stats.ready, stats.paused) == (1, True)
    assert taker.deliveries == []
    await broker.resume("work")
    await taker.has(1)
    with pytest.raises(QueueNotFound):
        await broker.pause("none")


async def test_dead_letters_are_sent_again_or_discarded(broker: EmbeddedBroker) -> None:
    """An operator's two acts; each touches exactly the letters named, once."""
    await broker.publish(outgoing("work", ["a", "b", "c"]))
    taker = await (await Taker.on(broker, "work")).has(3)
    taker.nack(requeue=False, reason="no")
    letters = await broker.dead_letters()
    assert [letter.message.message_id for letter in letters] == ["c", "b", "a"]
    seqs = {letter.message.message_id: letter.seq for letter in letters}
    assert await broker.send_again([seqs["a"], seqs["a"], 999]) == 1
    await taker.has(4)
    assert taker.ids[3] == "a"
    assert await broker.discard_dead([seqs["b"], seqs["a"]]) == 1
    assert [letter.seq for letter in await broker.dead_letters()] == [seqs["c"]]
    (stats,) = await broker.stats()
    assert stats.dead == 1


async def test_garbage_in_bounded_queues_cannot_fill_the_disk(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a bounded queue only the newest dead letters are kept."""
    monkeypatch.setattr(journal, "DEAD_IN_MEMORY_QUEUES_MAX", 3)
    await broker.declare(QueueSpec("beats", QueueKind.BOUNDED))
    await broker.publish(outgoing("beats", ["a", "b", "c", "d", "e"]))
    taker = await (await Taker.on(broker, "beats")).has(5)
    taker.nack(requeue=False, reason="garbage")
    assert [letter.message.message_id for letter in await broker.dead_letters()] == ["e", "d", "c"]
    assert {stats.name: stats.dead for stats in await broker.stats()} == {"beats": 3, "work": 0}


async def test_claimed_queues_wait_for_their_desk(owner: Owner) -> None:
    """Before it is known who grants claims no job is handed over."""
    broker = EmbeddedBroker(owner.database)
    await broker.start()
    await broker.declare(QueueSpec("jobs.x", claimed=True))
    taker = await Taker.on(broker, "jobs.x")
    await broker.publish(outgoing("jobs.x", ["a"]))
    assert taker.deliveries == []
    broker.claims = owner.desk
    await taker.has(1)
    await broker.close()


async def test_a_mistake_in_a_consumer_stops_nobody(broker: EmbeddedBroker) -> None:
    """A callback that raises keeps its deliveries and does not stop the queue for the others."""

    def fail(deliveries: object) -> None:
        raise ValueError("mine")

    wrong = await broker.consume("work", fail, prefetch=1)
    right = await Taker.on(broker, "work")
    await broker.publish(outgoing("work", ["a", "b", "c"]))
    await right.has(2)
    await wrong.close()
    await right.has(3)
    await wait_until(lambda: sorted(right.ids) == ["a", "b", "c"])


async def test_closing_finishes_what_was_given_back(owner: Owner, broker: EmbeddedBroker) -> None:
    """Claims returned just before the broker closes are returned, not left to their leases."""
    await broker.declare(QueueSpec("jobs.x", claimed=True))
    await broker.publish(outgoing("jobs.x", ["a", "b"]))
    taker = await (await Taker.on(broker, "jobs.x", prefetch=2)).has(2)
    await taker.close()
    await broker.close()
    assert sorted(owner.desk.given_back) == [("a", 1), ("b", 1)]
