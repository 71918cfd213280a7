"""The broker's contract: what an operator does with queues and dead letters, over every road."""

import pytest

from dts_core.brokers.base import Broker, QueueSpec
from dts_core.errors import QueueNotFound
from dts_core.testing import wait_until
from tests.contract.broker_backends import Backend
from tests.support.taking import Taker, outgoing

WORK = QueueSpec("work")


async def paused(side: Broker, queue: str) -> bool:
    return next(each.paused for each in await side.stats() if each.name == queue)


async def test_a_paused_queue_hands_nothing_out_until_it_goes_on(backend: Backend) -> None:
    """Pausing twice and resuming what is not paused change nothing; an unknown queue is told."""
    side = await backend.side()
    await side.declare(WORK)
    await side.resume("work")
    await side.pause("work")
    await side.pause("work")
    assert await paused(side, "work")
    taker = await Taker.on(side, "work")
    await side.publish(outgoing("work", ["a"]))
    assert taker.deliveries == []
    await side.resume("work")
    await taker.has(1)
    assert not await paused(side, "work")
    with pytest.raises(QueueNotFound):
        await side.pause("none")
    with pytest.raises(QueueNotFound):
        await side.resume("none")


async def test_dead_letters_go_back_or_away_once(backend: Backend) -> None:
    """Each act touches exactly the letters that are named and says how many there were."""
    side = await backend.side()
    await side.declare(WORK)
    await side.publish(outgoing("work", ["a", "b", "c"]))
    taker = await (await Taker.on(side, "work")).has(3)
    taker.nack(requeue=False, reason="no")

    async def are_dead() -> bool:
        return len(await side.dead_letters()) == 3

    await wait_until(are_dead)
    seqs = {each.message.message_id: each.seq for each in await side.dead_letters()}
    assert await side.send_again([seqs["a"], seqs["a"], 10**9]) == 1
    assert await side.discard_dead([seqs["b"], 10**9]) == 1
    assert await side.send_again([seqs["b"]]) == 0
    assert await side.discard_dead([seqs["a"]]) == 0
    await taker.has(4)
    assert taker.ids[3:] == ["a"]
    assert [each.seq for each in await side.dead_letters()] == [seqs["c"]]
