"""Dead letters are kept once, and end the jobs that they were the last message of."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import msgspec
import pytest

from dts_core.brokers.base import Broker, Delivery, Message
from dts_core.brokers.consumer import HandBack
from dts_core.brokers.rabbitmq.letters import REASON, letter_copy, letter_of
from dts_core.brokers.rabbitmq.vouching import vouched
from dts_core.daemons import undertaker as module
from dts_core.daemons.undertaker import Undertaker
from dts_core.errors import BrokerUnavailable
from dts_core.model import Change, Job
from dts_core.states import HELD, JobState
from dts_core.stores.base import Store
from dts_core.testing import START, ManualClock
from tests.contract.store_backends import embedded
from tests.support.brokers import RecordingBroker
from tests.support.jobs import job_in


class Yard:
    """An undertaker over a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.broker = RecordingBroker()
        self.undertaker = Undertaker(
            cast(Broker, self.broker),
            store,
            ManualClock(),
            letter_of=letter_of,
            is_refusal=lambda message: REASON in message.headers,
        )

    async def take(self, message: Message) -> None:
        await self.undertaker.operate(message.body, Delivery(1, "dead", message))

    async def state(self, job: Job) -> JobState:
        kept = await self.store.get_job(job.id)
        assert kept is not None
        return kept.state

    async def add(self, state: JobState) -> Job:
        job = job_in(state)
        await self.store.insert_jobs([job])
        return job


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    async with embedded(tmp_path, ManualClock()) as engine:
        yield Yard(engine.store)


def given_up(job: Job) -> Message:
    """As a quorum queue dead-letters it after too many deliveries."""
    death = {"queue": "jobs.default", "reason": "delivery_limit", "time": START, "count": 1}
    headers = {"x-death": [death], "x-first-death-queue": "jobs.default"}
    return Message(b"body", type="JobMessage", message_id=job.id, headers=headers)


def refused(job: Job, user: str = "") -> Message:
    """As a consumer that refuses it publishes it, with its own user."""
    message = Message(b"body", type="JobMessage", message_id=job.id)
    copy = letter_copy(Delivery(1, "jobs.default", message), "not readable")
    return Message(copy.body, type=copy.type, message_id=job.id, headers=copy.headers, user_id=user)


async def test_a_letter_is_kept_once_with_its_reason(yard: Yard) -> None:
    """However often it comes: it is acked only after it is kept."""
    job = await yard.add(JobState.QUEUED)
    for _ in range(2):
        await yard.take(given_up(job))
    [letter] = await yard.store.dead_letters()
    assert (letter.queue, letter.message.message_id, letter.message.body) == (
        "jobs.default",
        job.id,
        b"body",
    )
    assert letter.reason.startswith("came back 20 times")
    assert not any(name.startswith("x-") for name in letter.message.headers)


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.QUEUED])
async def test_a_job_whose_message_was_given_up_is_dead(yard: Yard, state: JobState) -> None:
    """With the reason, and it is announced."""
    job = await yard.add(state)
    await yard.take(given_up(job))
    kept = await yard.store.get_job(job.id)
    assert kept is not None
    assert kept.error is not None
    assert (kept.state, kept.error.type) == (JobState.DEAD, "Undeliverable")
    assert yard.broker.changes == [Change("jobs", job.id, "dead", kept.changed, kept.epoch)]


@pytest.mark.parametrize("state", sorted({*HELD, JobState.DONE, JobState.RETRYING}))
async def test_a_job_that_needs_no_message_goes_on(yard: Yard, state: JobState) -> None:
    """What a queue gives up may be a second message of a job that runs, or of one that is over."""
    job = await yard.add(state)
    await yard.take(given_up(job))
    assert await yard.state(job) is state
    assert len(await yard.store.dead_letters()) == 1


@pytest.mark.parametrize(("seconds", "state"), [(10, JobState.DEAD), (20, JobState.QUEUED)])
async def test_a_former_message_ends_no_job_that_was_queued_anew(
    yard: Yard, seconds: int, state: JobState
) -> None:
    """Its holder was lost meanwhile, and a new message invites to it; the record of one's own comes a little late."""
    job = job_in(JobState.QUEUED, queued_at=START)
    await yard.store.insert_jobs([job])
    published = START.timestamp() - seconds
    await yard.take(msgspec.structs.replace(given_up(job), timestamp=published))
    assert await yard.state(job) is state


async def test_a_job_that_its_holder_refuses_is_dead(yard: Yard) -> None:
    """The worker that has it, by its host's user, and the control side itself."""
    for user in ("dts.host.h1", "", "dts"):
        job = await yard.add(JobState.RUNNING)
        await yard.take(refused(job, user))
        assert await yard.state(job) is JobState.DEAD


async def test_a_host_ends_no_job_of_another(yard: Yard) -> None:
    """Whatever it publishes: neither one that another host holds nor one that nobody does."""
    for state in (JobState.RUNNING, JobState.QUEUED):
        job = await yard.add(state)
        await yard.take(refused(job, "dts.host.h2"))
        assert await yard.state(job) is state


async def test_a_host_s_garbage_ends_no_job_by_the_control_side_s_refusal(yard: Yard) -> None:
    """It calls itself the message of a job, and is refused where results are read: the copy is the control side's."""
    for state in (JobState.QUEUED, JobState.RUNNING):
        job = await yard.add(state)
        for user in ("dts.host.h9", ""):
            garbage = Message(b"?", type="JobMessage", message_id=job.id, user_id=user)
            copy = letter_copy(Delivery(1, "results", vouched(garbage)), "not readable")
            await yard.take(vouched(msgspec.structs.replace(copy, user_id="dts.control")))
        assert await yard.state(job) is state


async def test_other_messages_are_only_kept(yard: Yard) -> None:
    """A result that could not be recorded names a job, and does not end it."""
    job = await yard.add(JobState.QUEUED)
    await yard.take(Message(b"x", type="JobResults", message_id=job.id, headers={REASON: "why"}))
    await yard.take(Message(b"?", type="JobMessage", message_id="nobody"))
    assert await yard.state(job) is JobState.QUEUED
    assert len(await yard.store.dead_letters()) == 2


async def test_an_announcement_that_fails_undoes_nothing(yard: Yard) -> None:
    """Who waits looks at the store."""
    yard.broker.failure = BrokerUnavailable("away")
    job = await yard.add(JobState.QUEUED)
    await yard.take(given_up(job))
    assert await yard.state(job) is JobState.DEAD


async def test_a_letter_that_cannot_be_kept_comes_again(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a dead letter it cannot become another one, for ever."""

    def broken(message: Message, *, now: object) -> object:
        raise ValueError("a mistake")

    monkeypatch.setattr(module, "AGAIN_SECONDS", 0)
    monkeypatch.setattr(yard.undertaker, "_letter_of", broken)
    with pytest.raises(HandBack):
        await yard.take(Message(b"?"))
