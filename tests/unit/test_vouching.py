"""On RabbitMQ nobody speaks for another: not unsigned, not by a dead letter, not by one that is sent again."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from dts_core.brokers.base import DeadLetter, Delivery, Message, Outgoing
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.brokers.rabbitmq.letters import letter_copy, letter_of
from dts_core.brokers.rabbitmq.vouching import USER, vouched
from dts_core.brokers.senders import NOBODY, check_sender
from dts_core.errors import Forbidden
from dts_core.model import JobResults, ProgressReport, SourceRequest
from dts_core.testing import START

A, B, CONTROL = "dts.host.a", "dts.host.b", "dts.control"


def _signed(message: Message, user: str) -> Message:
    """As it comes from RabbitMQ, published by this user."""
    return Message(
        message.body, type=message.type, message_id=message.message_id, headers=message.headers,
        reply_to=message.reply_to, user_id=user,
    )  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        JobResults("", "ear", []),
        ProgressReport(host="?", worker="w", items=[]),
        SourceRequest("0" * 64),
    ],
)
def test_what_is_not_signed_is_nobody_s_word(body: Any) -> None:
    """A user is only checked by RabbitMQ when it is named; whoever leaves it out is not the control side."""
    sender = vouched(Message(b"")).user_id
    assert sender == NOBODY
    with pytest.raises(Forbidden, match="not signed"):
        check_sender(sender, body)


def test_a_host_names_no_other_in_a_header() -> None:
    """Only the control side passes words on."""
    forged = Message(b"", headers={USER: CONTROL, "x": 1}, user_id=A)
    assert (vouched(forged).user_id, vouched(forged).headers) == (A, {"x": 1})
    passed = Message(b"", headers={USER: A}, user_id=CONTROL)
    assert (vouched(passed).user_id, vouched(passed).headers) == (A, {})
    for odd in ("", 7, None):
        assert vouched(Message(b"", headers={USER: odd}, user_id=CONTROL)).user_id == NOBODY
    plain = Message(b"", headers={"x": 1}, user_id=CONTROL, reply_to="anywhere")
    assert vouched(plain) is plain


def test_a_host_is_answered_on_a_queue_of_replies_alone() -> None:
    """The control side's answer could go where the host may not write."""
    own = "amq.rabbitmq.reply-to.g1h2"
    assert vouched(Message(b"", user_id=A, reply_to=own)).reply_to == own
    for user in (A, ""):
        assert vouched(Message(b"", user_id=user, reply_to="results")).reply_to == ""


def _letter(message: Message, queue: str, seq: int, user: str = CONTROL) -> DeadLetter:
    """What is kept of a message that this user's consumer refuses."""
    copy = _signed(letter_copy(Delivery(1, queue, vouched(message)), "no"), user)
    _, letter = letter_of(vouched(copy), now=START)
    return DeadLetter(seq, letter.queue, letter.died, letter.reason, letter.message)


def test_a_letter_keeps_whose_word_it_was() -> None:
    """Through the control side's copy; a worker's own copy is the worker's word, whatever it says."""
    assert _letter(Message(b"", user_id=A), "results", 1).message.user_id == A
    assert _letter(Message(b""), "results", 1).message.user_id == NOBODY
    assert _letter(Message(b"", user_id=CONTROL), "jobs.x", 1).message.user_id == CONTROL
    assert _letter(Message(b"", user_id=CONTROL), "jobs.x", 1, user=B).message.user_id == B


class Graves:
    """Has some letters."""

    def __init__(self, *letters: DeadLetter) -> None:
        self.letters = {letter.seq: letter for letter in letters}

    async def get_dead(self, seqs: Sequence[int]) -> list[DeadLetter]:
        return [self.letters[seq] for seq in seqs if seq in self.letters]

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        return len([self.letters.pop(seq) for seq in seqs])


async def test_what_is_sent_again_stays_the_word_of_whom_it_came_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A forged result that was refused is refused again; what a host may not write does not go out in any name."""
    graves = Graves(
        _letter(Message(b"forged", user_id=A), "results", 1),
        _letter(Message(b"invented", user_id=A), "jobs.default", 2),
        _letter(Message(b"ours", user_id=CONTROL), "jobs.default", 3),
        _letter(Message(b"unsigned"), "results", 4),
    )
    url = "amqp://dts.control:x@127.0.0.1:1/v"
    broker = RabbitmqBroker(url, graves=cast(Any, graves))
    sent: list[Outgoing] = []

    async def publish(items: Sequence[Outgoing]) -> None:
        sent.extend(items)

    monkeypatch.setattr(broker, "publish", publish)
    assert await broker.send_again([1, 2, 3, 4]) == 3
    assert list(graves.letters) == [2]
    again = {each.message.body: vouched(_signed(each.message, CONTROL)) for each in sent}
    assert {body: message.user_id for body, message in again.items()} == {
        b"forged": A, b"ours": CONTROL, b"unsigned": NOBODY,
    }  # fmt: skip
    with pytest.raises(Forbidden):
        check_sender(again[b"forged"].user_id, JobResults("b", "w", []))
