"""Chunks of results over a link: only for claims that it holds, a few at a time, and never above the wire's limit."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dts_core import codec
from dts_core.brokers import link_rules
from dts_core.brokers.base import (
    Delivery,
    Message,
    Outgoing,
    QueueKind,
    QueueSpec,
    claim_headers,
    claim_of,
)
from dts_core.brokers.link import LinkBroker
from dts_core.errors import BrokerUnavailable, CodecError, Forbidden, ResultRefused, TooLarge
from dts_core.model import JobResult, JobResults
from dts_core.states import JobEvent
from tests.contract.broker_backends import OverLink, Owner
from tests.support.taking import Taker, outgoing


class Asked(Owner):
    """An owner that answers every request with its body."""

    async def open(self) -> None:
        await super().open()
        await self.broker.declare(QueueSpec("jobs.default", claimed=True))
        await self.broker.declare(QueueSpec("results"))
        await self.broker.declare(QueueSpec("requests", QueueKind.REQUEST))
        self.claims: list[tuple[str, int] | None] = []
        self._taken = await self.broker.consume("requests", self._answer, prefetch=100)

    def _answer(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            question = delivery.message
            self.claims.append(claim_of(question))
            answer = Message(question.body, correlation_id=question.correlation_id)
            self.broker.publish_soon([Outgoing(question.reply_to, answer)])
        self._taken.ack([delivery.tag for delivery in deliveries])


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Asked]:
    owner = Asked(tmp_path, role="worker")
    await owner.open()
    yield owner
    await owner.close()


@pytest.fixture
async def links(owner: Asked) -> AsyncIterator[OverLink]:
    links = OverLink(owner)
    yield links
    await links.close()


async def send(side: LinkBroker, job: str, epoch: int, body: bytes = b"chunk") -> bytes:
    message = Message(body, headers=claim_headers(job, epoch))
    return (await side.request("requests", message)).body


async def holding(owner: Asked, links: OverLink, count: int) -> tuple[LinkBroker, Taker]:
    """A link that holds the claims of j0, j1, ..."""
    await owner.broker.publish(outgoing("jobs.default", [f"j{at}" for at in range(count)]))
    side = await links.side("a", "w1")
    return side, await (await Taker.on(side, "jobs.default")).has(count)


def finished(*jobs: str) -> Outgoing:
    found = [JobResult(job, 1, JobEvent.FINISH, b"1") for job in jobs]
    return Outgoing("results", Message(codec.encode(JobResults("a", "w1", found))))


async def test_chunks_pass_for_claims_that_the_link_holds(owner: Asked, links: OverLink) -> None:
    """The headers that the control side goes by are those that the link has vouched for."""
    side, _ = await holding(owner, links, 1)
    assert await send(side, "j0", 1) == b"chunk"
    assert owner.claims == [("j0", 1)]
    for job, epoch in (("j0", 2), ("j9", 1), ("", 0)):
        with pytest.raises(ResultRefused) as refused:
            await send(side, job, epoch)
        assert refused.value.refused == [(job, epoch)]
    other = await links.side("a", "w2")
    with pytest.raises(ResultRefused):
        await send(other, "j0", 1)
    assert owner.claims == [("j0", 1)]


async def test_chunks_do_not_pass_once_the_claim_is_over(owner: Asked, links: OverLink) -> None:
    """Reported and acked: whatever comes later for it comes too late."""
    side, taker = await holding(owner, links, 1)
    assert await send(side, "j0", 1) == b"chunk"
    await side.publish([finished("j0")])
    taker.ack("j0")
    await side.declare(QueueSpec("jobs.default"))  # behind the ack
    with pytest.raises(ResultRefused):
        await send(side, "j0", 1)


async def test_questions_without_a_claim_pass(owner: Asked, links: OverLink) -> None:
    """Sources are asked for without one; headers that name none are none."""
    side = await links.side("a", "w1")
    for headers in ({}, {"job": "j0"}, {"job": 1, "epoch": 1}, {"job": "j0", "epoch": "1"}):
        message = Message(b"source", headers=headers)
        assert (await side.request("requests", message)).body == b"source"
    assert owner.claims == [None] * 4


async def test_a_few_results_at_a_time_come_in_chunks(
    owner: Asked, links: OverLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound the worker has to wait until one of those under way is reported."""
    monkeypatch.setattr(link_rules, "UPLOADS_MAX", 2)
    side, _ = await holding(owner, links, 3)
    for job in ("j0", "j1", "j0"):
        await send(side, job, 1)
    with pytest.raises(BrokerUnavailable):
        await send(side, "j2", 1)
    await side.publish([finished("j0")])
    assert await send(side, "j2", 1) == b"chunk"


async def test_no_message_of_a_worker_exceeds_the_wire(owner: Asked, links: OverLink) -> None:
    """Neither a chunk nor a message of results: one that is larger is refused, the link goes on."""
    side, _ = await holding(owner, links, 1)
    assert len(await send(side, "j0", 1, b"x" * codec.WIRE_MAX)) == codec.WIRE_MAX
    with pytest.raises(TooLarge):
        await send(side, "j0", 1, b"x" * (codec.WIRE_MAX + 1))
    with pytest.raises((TooLarge, CodecError)):
        await side.publish([Outgoing("results", Message(b"x" * (codec.WIRE_MAX + 1)))])
    with pytest.raises(Forbidden):
        await side.request("results", Message(b"x"))
    assert await send(side, "j0", 1) == b"chunk"
