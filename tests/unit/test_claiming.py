"""A broker without claims: the worker asks for them, over the real daemons, store and queues."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from dts_core import codec
from dts_core.brokers.base import (
    REQUESTS,
    RESULTS,
    Delivery,
    Message,
    Outgoing,
)
from dts_core.brokers.claiming import asking, questions
from dts_core.brokers.claiming.consumption import ClaimedConsumption
from dts_core.brokers.claiming.records import Ask, Claim
from dts_core.model import (
    ClaimItem,
    ClaimsRequest,
    Job,
    JobResult,
    JobResults,
    Operation,
    QueuePause,
)
from dts_core.services.messages import job_message
from dts_core.states import JobEvent, JobState
from dts_core.testing import START, wait_until
from tests.support.jobs import move
from tests.support.plain_control import QUEUE, Control, finish, report
from tests.support.plain_side import ClaimingSide
from tests.support.porters import counted
from tests.support.taking import until_stands


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    opened = Control(tmp_path / "dts.db")
    await opened.start()
    yield opened
    await opened.stop()


async def parked_at_another(control: Control, job: Job) -> ClaimingSide:
    """A second message of a running job has come to another side, where the live lease stands against it."""
    side = await control.side("w2")
    await control.broker.publish([job_message(job, at=START)])
    await wait_until(lambda: any(ask.is_parked for ask in asks(side)))
    return side


async def test_what_is_handed_over_is_claimed(control: Control) -> None:
    """Each delivery carries its epoch and attempt; every job runs once, and its message is gone in the end."""
    jobs = await control.submit(300)
    one, two = await control.side("w1", 50), await control.side("w2", 50)
    seen: list[tuple[str, int, int]] = []
    while len(seen) < 300:
        await wait_until(lambda: bool(one.held or two.held))
        for side in (one, two):
            taken, side.held[:] = list(side.held), []
            seen += [(each.message.message_id, each.epoch, each.attempt) for each in taken]
            await finish(side, taken)
    assert sorted(seen) == sorted((job.id, 1, 1) for job in jobs)
    await control.is_in(jobs, JobState.DONE)
    await until_stands(control.broker, QUEUE, 0)
    await counted(control.porter, 300, 0)


async def test_what_is_over_is_dropped(control: Control) -> None:
    """A cancelled job's message ends without being handed over, and takes no place."""
    cancelled, good = await control.submit(2)
    await control.store.apply([move(cancelled, JobEvent.CANCEL)])
    side = await control.side("w1", 1)
    await side.taker.has(1)
    assert side.taker.ids == [good.id]
    await until_stands(control.broker, QUEUE, 0, 1)


async def test_a_message_that_names_no_job_is_a_dead_letter(control: Control) -> None:
    """Nobody could be asked about it."""
    await control.side("w1")
    await control.broker.publish([Outgoing(QUEUE, Message(b"?"))])

    async def is_dead() -> bool:
        return [letter.reason for letter in await control.broker.dead_letters()] == [
            "it names no job"
        ]

    await wait_until(is_dead)


async def test_a_live_lease_delays_and_then_the_message_goes(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second message of a running job waits once; the claim lives on, so it is not needed and ends."""
    monkeypatch.setattr(asking, "PARK_MAX_SECONDS", 0.5)
    [job], one = await control.running(prefetch=1)
    two = await parked_at_another(control, job)
    await until_stands(control.broker, QUEUE, 0, 1)
    assert two.held == []
    assert await control.of(job) == ("running", 1, 0, "w1")
    await finish(one, one.held)
    await control.is_in([job], JobState.DONE)
    await until_stands(control.broker, QUEUE, 0)


async def test_a_second_message_of_its_own_job_ends_with_it(control: Control) -> None:
    """It is bound to the claim, which still stands: nothing runs twice."""
    [job], side = await control.running()
    await control.broker.publish([job_message(job, at=START)])
    await wait_until(lambda: side.resumed == [(job.id, 1, True)])
    await until_stands(control.broker, QUEUE, 0, 2)
    await finish(side, side.held)
    await control.is_in([job], JobState.DONE)
    await until_stands(control.broker, QUEUE, 0)
    assert len(side.held) == 1


async def test_a_lapsed_lease_is_taken_over_by_the_message_that_waits(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked about again when the lease may have ended."""
    monkeypatch.setattr(asking, "PARK_MAX_SECONDS", 0.2)
    [job], _ = await control.running(prefetch=1)
    two = await parked_at_another(control, job)
    control.clock.advance(11)
    await two.taker.has(1)
    assert [(each.epoch, each.redelivered) for each in two.held] == [(2, False)]
    assert await control.of(job) == ("running", 2, 1, "w2")


async def test_a_returned_delivery_is_given_back_uncharged(control: Control) -> None:
    """By a result that is confirmed; the porter invites anew, and the old message ends."""
    [job], side = await control.running()
    side.taker.nack(job.id)
    await side.taker.has(2)
    assert [(each.epoch, each.attempt) for each in side.held] == [(1, 1), (2, 1)]
    assert await control.of(job) == ("running", 2, 0, "w1")
    await until_stands(control.broker, QUEUE, 0, 1)


async def test_a_refused_delivery_is_a_dead_letter(control: Control) -> None:
    """With its reason, as the worker gave it."""
    [job], side = await control.running()
    side.taker.nack(job.id, requeue=False, reason="not readable")

    async def is_dead() -> bool:
        return [letter.reason for letter in await control.broker.dead_letters()] == ["not readable"]

    await wait_until(is_dead)


async def test_a_closed_consumer_gives_its_claims_back(control: Control) -> None:
    """A worker that stops returns its jobs uncharged; another one runs them."""
    jobs, one = await control.running(3)
    await one.taker.close()
    two = await control.side("w2")
    await two.taker.has(3)
    for job in jobs:
        assert await control.of(job) == ("running", 2, 0, "w2")
    await until_stands(control.broker, QUEUE, 0, 3)


async def test_jobs_of_a_lost_worker_run_again_at_once(control: Control) -> None:
    """A message that came back takes the lease over; the late results of the lost one change nothing."""
    jobs, one = await control.running(5)
    late = list(one.held)
    one.cut()
    two = await control.side("w2")
    await two.taker.has(5)
    assert {(each.epoch, each.redelivered) for each in two.held} == {(2, True)}
    results = [JobResult(d.message.message_id, d.epoch, JobEvent.FINISH, b"0") for d in late]
    body = codec.encode(JobResults("w1", "w1", results))
    await control.broker.publish([Outgoing(RESULTS, Message(body, type="JobResults"))])
    await finish(two, two.held)
    await control.is_in(jobs, JobState.DONE)
    kept = await control.store.get_job(jobs[0].id)
    assert kept is not None
    assert (kept.result, kept.losses, kept.worker) == (b"1", 1, "w2")


async def test_a_worker_that_is_back_goes_on(control: Control) -> None:
    """Its messages come back to it and are bound to its claims: nothing is handed over twice, nothing is charged."""
    jobs, side = await control.running(4)
    side.cut()
    await side.mend()
    await wait_until(lambda: len(side.resumed) == 4)
    assert {is_ours for _, _, is_ours in side.resumed} == {True}
    assert len(side.held) == 4
    await until_stands(control.broker, QUEUE, 0, 4)
    await finish(side, side.held)
    await control.is_in(jobs, JobState.DONE)
    await until_stands(control.broker, QUEUE, 0)
    assert {(await control.of(job))[1:] for job in jobs} == {(1, 0, "w1")}


async def test_tags_of_a_lost_stream_are_acked_nowhere(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends afterwards has no message here: an ack by the old tag would be meant for somebody else's."""
    [job], side = await control.running()
    consumption = side.taker.consumption
    assert isinstance(consumption, ClaimedConsumption)
    below = consumption._inner
    assert below is not None
    acked: list[int] = []
    monkeypatch.setattr(below, "ack", acked.extend)
    consumption.lost()
    await report(side, side.held)
    side.taker.ack(job.id)
    assert acked == []
    await control.is_in([job], JobState.DONE)


async def test_a_worker_that_is_back_late_is_told(control: Control) -> None:
    """Another one has its jobs: it stops them, and what it says of them changes nothing."""
    jobs = await control.submit(2)
    one, two = await control.side("w1"), await control.side("w2", 0)
    await one.taker.has(2)
    one.cut()
    assert two.taker.consumption is not None
    two.taker.consumption.grant(10)
    await two.taker.has(2)
    await one.mend()
    await wait_until(lambda: len(one.resumed) == 2)
    assert {is_ours for _, _, is_ours in one.resumed} == {False}
    one.taker.ack()
    await until_stands(control.broker, QUEUE, 0, 2)
    await finish(two, two.held)
    await control.is_in(jobs, JobState.DONE)


async def test_an_ack_that_was_lost_runs_nothing_twice(control: Control) -> None:
    """The result is on its way; the message that comes back waits until it is recorded, and ends."""
    [job], side = await control.running()
    await control.deafen()
    await report(side, side.held)
    side.plain.cut()
    side.taker.ack(job.id)
    side.broker.on_link(False, "cut")
    await side.mend()
    control.listen()
    await control.is_in([job], JobState.DONE)
    await until_stands(control.broker, QUEUE, 0)
    assert len(side.held) == 1
    assert await control.of(job) == ("done", 1, 0, "w1")


async def test_an_ack_while_a_claim_is_in_doubt_loses_no_job(control: Control) -> None:
    """Its message may be the invitation to a later attempt: it is asked about, not acked."""
    [job], side = await control.running()
    await control.deafen()
    side.cut()
    control.clock.advance(11)
    await control.scheduler.tick()
    assert (await control.of(job))[:3] == ("queued", 1, 1)
    await side.mend()
    await wait_until(lambda: any(claim.doubts for claim in claims(side)))
    side.taker.ack(job.id)
    control.listen()
    await side.taker.has(2)
    assert side.held[1].epoch == 2
    await finish(side, side.held[1:])
    await control.is_in([job], JobState.DONE)
    await until_stands(control.broker, QUEUE, 0)


async def test_a_grant_whose_answer_was_lost_is_found(control: Control) -> None:
    """The claim stands for this worker, which does not know: it asks, and takes it up uncharged."""
    jobs = await control.submit(2)
    side = await control.side("w1", 0)
    side.plain.loses_answers = True
    assert side.taker.consumption is not None
    side.taker.consumption.grant(10)
    await control.is_in(jobs, JobState.RUNNING)
    side.plain.loses_answers = False
    await side.taker.has(2)
    assert sorted(side.taker.ids) == sorted(job.id for job in jobs)
    assert {(await control.of(job)) for job in jobs} == {("running", 1, 0, "w1")}
    assert {each.attempt for each in side.held} == {1}


async def test_a_grant_that_reached_nobody_goes_back_uncharged(control: Control) -> None:
    """Its message is elsewhere by the time the worker hears of the claim."""
    [job] = await control.submit()
    side = await control.side("w1", 0)
    side.plain.loses_answers = True
    assert side.taker.consumption is not None
    side.taker.consumption.grant(10)
    await control.is_in([job], JobState.RUNNING)
    side.taker.consumption.grant(0)
    await until_stands(control.broker, QUEUE, 1)
    side.plain.loses_answers = False

    async def is_back() -> bool:
        return (await control.of(job))[:3] == ("queued", 1, 0)

    await wait_until(is_back)


async def test_a_claim_on_its_way_back_is_not_taken_up_again(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message comes to the same worker before the return is recorded: it runs once, under the next claim."""
    monkeypatch.setattr(asking, "PARK_MAX_SECONDS", 0.2)
    [job] = await control.submit()
    side = await control.side("w1", 0)
    side.plain.loses_answers = True
    assert isinstance(side.taker.consumption, ClaimedConsumption)
    side.taker.consumption.grant(10)
    await control.is_in([job], JobState.RUNNING)
    side.taker.consumption.grant(0)
    await until_stands(control.broker, QUEUE, 1)
    await control.deafen()
    control.listen(control.requests)
    side.plain.loses_answers = False
    await until_stands(control.broker, RESULTS, 1)
    side.taker.consumption.grant(10)
    answered = side.plain.answered
    await wait_until(lambda: side.plain.answered >= answered + 2, what="the claim, and what stands")
    await wait_until(lambda: any(ask.is_parked for ask in asks(side)))
    assert side.held == []
    control.listen(control.porter)
    await side.taker.has(1)
    assert [each.epoch for each in side.held] == [2]
    assert await control.of(job) == ("running", 2, 0, "w1")


async def test_a_control_side_that_is_away_delays_only(control: Control) -> None:
    """Nothing is handed over without a claim, nothing is lost."""
    await control.deafen()
    jobs = await control.submit(8)
    side = await control.side("w1")
    await until_stands(control.broker, QUEUE, 0, 8)
    assert side.held == []
    control.listen()
    await side.taker.has(8)
    await finish(side, side.held)
    await control.is_in(jobs, JobState.DONE)


async def test_after_a_long_absence_what_is_not_claimed_went_back(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no message grows old in a worker's hands; it takes again when somebody answers."""
    monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.2)
    await control.deafen()
    await control.submit(3)
    side = await control.side("w1")
    await until_stands(control.broker, QUEUE, 0, 3)
    control.clock.advance(asking.AWAY_SECONDS)
    await until_stands(control.broker, QUEUE, 3)
    control.listen()
    await side.taker.has(3)
    await until_stands(control.broker, QUEUE, 0, 3)


async def test_a_delivery_that_grows_old_is_acked_on_its_claim(control: Control) -> None:
    """At its age and not before; the job runs on, keeps its place in the credit, and ends as any other."""
    jobs, side = await control.running(2, prefetch=1, ack_after_seconds=600)
    first = list(side.held)
    control.clock.advance(599)
    assert side.broker.sweep() == 0
    control.clock.advance(1)
    assert side.broker.sweep() == 1
    assert side.broker.sweep() == 0
    await until_stands(control.broker, QUEUE, 1)
    assert len(side.held) == 1
    await control.renew(side)
    await finish(side, first)
    await side.taker.has(2)
    await finish(side, side.held[1:])
    await control.is_in(jobs, JobState.DONE)


async def test_an_old_delivery_s_job_is_asked_about_after_a_reconnect(control: Control) -> None:
    """It has no message any more; its claim is still named and stands."""
    [job], side = await control.running(ack_after_seconds=60)
    control.clock.advance(60)
    side.broker.sweep()
    await until_stands(control.broker, QUEUE, 0)
    side.cut()
    await side.mend()
    await wait_until(lambda: side.resumed == [(job.id, 1, True)])
    await finish(side, side.held)
    await control.is_in([job], JobState.DONE)


async def test_an_old_delivery_of_a_lost_worker_runs_again_when_its_lease_ends(
    control: Control,
) -> None:
    """Nobody has its message: the scheduler invites anew."""
    [job], one = await control.running(ack_after_seconds=60)
    control.clock.advance(60)
    one.broker.sweep()
    await until_stands(control.broker, QUEUE, 0)
    one.cut()
    two = await control.side("w2")
    await control.scheduler.tick()
    await two.taker.has(1)
    assert await control.of(job) == ("running", 2, 1, "w2")


async def test_while_the_broker_itself_was_away_a_message_that_came_back_proves_nothing(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is delivered again though the holders live: their runs go on, their messages end."""
    monkeypatch.setattr(asking, "PARK_MAX_SECONDS", 0.05)
    [job], one = await control.running()
    control.is_doubtful = True
    one.cut()
    two = await control.side("w2")
    await wait_until(lambda: bool(asks(two)))
    await until_stands(control.broker, QUEUE, 0)
    control.is_doubtful = False
    await one.mend()
    await wait_until(lambda: one.resumed == [(job.id, 1, True)])
    assert two.held == []
    assert await control.of(job) == ("running", 1, 0, "w1")
    await finish(one, one.held)
    await control.is_in([job], JobState.DONE)


async def test_a_worker_that_takes_no_more_hands_back_what_it_has_no_claim_on(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claimed ones stay; the others are another worker's to take."""
    monkeypatch.setattr(questions, "ANSWER_SECONDS", 0.2)
    await control.submit(2)
    one = await control.side("w1")
    await one.taker.has(2)
    await control.deafen()
    await control.submit(3)
    await until_stands(control.broker, QUEUE, 0, 5)
    assert one.taker.consumption is not None
    one.taker.consumption.grant(0)
    await until_stands(control.broker, QUEUE, 3, 2)
    control.listen()
    two = await control.side("w2")
    await two.taker.has(3)
    assert len(one.held) == 2


async def test_an_invitation_that_joins_a_message_that_waits_goes_back_with_it(
    control: Control,
) -> None:
    """The claim that it waits for may be over by then: nothing else would start the job any more."""
    [job], _ = await control.running(prefetch=1)
    two = await parked_at_another(control, job)
    control.clock.advance(11)
    await control.scheduler.tick()
    assert (await control.of(job))[:3] == ("queued", 1, 1)
    await wait_until(lambda: [len(ask.tags) for ask in asks(two)] == [2])
    assert two.taker.consumption is not None
    two.taker.consumption.grant(0)
    await until_stands(control.broker, QUEUE, 2, 1)
    three = await control.side("w3")
    await three.taker.has(1)
    assert await control.of(job) == ("running", 2, 1, "w3")


async def test_a_paused_queue_starts_nothing(control: Control) -> None:
    """Its jobs are not granted while it lasts, and their messages are not acked however often they are asked about."""
    [job] = await control.submit()
    pause = QueuePause(id="default", by="ann", at=START)
    operation = Operation(
        id="o1",
        collection="queues",
        doc_id="default",
        op_type="create",
        operator="ann",
        timestamp=START,
    )
    document = msgspec.msgpack.encode(pause)
    await control.store.write_document(
        "queues", "default", document, operation, expected_revision=0
    )
    await control.requests.look_at_pauses()
    asked = ClaimsRequest("w1", "w1", [ClaimItem(job.id, queue="default")])
    for _ in range(3):
        reply = await control.requests.operate(asked, Delivery(1, REQUESTS, Message(b"")))
        assert [(each.verdict, each.epoch) for each in reply.answers] == [("held", 0)]
    assert (await control.of(job))[0] == "queued"


def asks(side: ClaimingSide) -> list[Ask]:
    return [ask for each in side.broker._asking.consumptions for ask in each.asked.values()]


def claims(side: ClaimingSide) -> list[Claim]:
    return [claim for each in side.broker._asking.consumptions for claim in each.live()]
