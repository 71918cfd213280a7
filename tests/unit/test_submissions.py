"""Jobs by AMQP: what a message asks for, who sent it, and where an answer may go."""

from typing import Any

import msgspec
import pytest

from dts_core.brokers.base import SUBMIT, Delivery, Message, Outgoing
from dts_core.brokers.rabbitmq.topology import is_reply
from dts_core.daemons.submissions import Submissions
from dts_core.errors import (
    BrokerUnavailable,
    InvalidInput,
    QueueNotFound,
    StoreUnavailable,
    Unauthenticated,
)
from dts_core.model import ARGS_MAX

REPLY = "amq.gen-abc"


class Wire:
    """Takes what is published."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.failure: Exception | None = None

    async def publish(self, items: list[Outgoing]) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent += items


class Sessions:
    """Knows one token."""

    async def authenticate(self, token: str, *, source: str = "", request_id: str = "") -> str:
        if token != "good":
            raise Unauthenticated("no such token.")
        return "anna"


class Jobs:
    """Remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, str]] = []
        self.failure: Exception | None = None

    async def submit(self, caller: str, request: Any, *, key: str = "", digest: bytes = b"") -> Any:
        if self.failure is not None:
            raise self.failure
        self.asked.append((request, key))
        raise InvalidInput("it goes no further here.", fields={"args": "seen"})


class Desk:
    """Submissions with everything around it."""

    def __init__(self) -> None:
        self.wire, self.jobs = Wire(), Jobs()
        parts: Any = (self.wire, self.jobs, Sessions())
        self.submissions = Submissions(*parts, may_answer=is_reply, wait_seconds=1.0)

    async def take(self, body: bytes, *, reply_to: str = REPLY, **headers: str) -> None:
        given = {"authorization": "Bearer good", **headers}
        message = Message(
            body, message_id="m", correlation_id="c", reply_to=reply_to, headers=dict(given)
        )
        await self.submissions.operate(body, Delivery(1, SUBMIT, message))

    def answer(self) -> dict[str, Any]:
        """The one that was sent."""
        [sent] = self.wire.sent
        assert (sent.queue, sent.message.correlation_id) == (REPLY, "c")
        assert sent.message.content_type == "application/json"
        told: dict[str, Any] = msgspec.json.decode(sent.message.body)
        return told


async def test_json_is_a_request_of_the_api() -> None:
    """Every option counts, and the message's id is the idempotency key."""
    desk = Desk()
    await desk.take(b'{"function": "a/b", "args": [1], "retries": 2, "queue": "gpu"}')
    [(request, key)] = desk.jobs.asked
    assert (request.function, bytes(request.args), request.retries) == ("a/b", b"[1]", 2)
    assert (request.queue, key) == ("gpu", "m")
    assert desk.answer()["fields"] == {"args": "seen"}


@pytest.mark.parametrize(
    ("body", "argument"), [(b"text", "text"), (b"", ""), (b"\xff\x00", {"base64": "/wA="})]
)
async def test_raw_body_is_the_one_argument(body: bytes, argument: object) -> None:
    """With the function in a header, whatever the bytes are."""
    desk = Desk()
    await desk.take(body, function="a/b")
    [(request, _)] = desk.jobs.asked
    assert request.function == "a/b"
    assert msgspec.json.decode(bytes(request.args)) == [argument]


@pytest.mark.parametrize(
    ("body", "authorization", "status"),
    [
        (b"{}", "Bearer bad", 401),
        (b"{}", "good", 401),
        (b"{}", "", 401),
        (b"\xc1", "Bearer good", 400),
        (b'{"functions": 1}', "Bearer good", 422),
        (b"[]", "Bearer good", 422),
        (b"x" * (ARGS_MAX + (64 << 10) + 1), "Bearer good", 413),
    ],
    ids=["bad token", "no scheme", "no token", "no JSON", "unknown key", "no object", "too large"],
)
async def test_refusal_is_answered(body: bytes, authorization: str, status: int) -> None:
    """With its status and reason; the token is not among them."""
    desk = Desk()
    await desk.take(body, authorization=authorization)
    told = desk.answer()
    assert told["status"] == status
    assert told["detail"]
    assert desk.jobs.asked == []


@pytest.mark.parametrize("reply_to", ["results", "jobs.default", "requests", "dead", "submit"])
async def test_answer_never_goes_into_a_queue_of_ours(reply_to: str) -> None:
    """Whoever names one would have the control side write where they may not."""
    desk = Desk()
    await desk.take(b"{}", reply_to=reply_to, authorization="")
    assert desk.wire.sent == []


async def test_outage_is_tried_again() -> None:
    """Neither answered nor given up; a caller who has gone is no outage."""
    desk = Desk()
    desk.jobs.failure = StoreUnavailable("away.")
    with pytest.raises(StoreUnavailable):
        await desk.take(b'{"function": "a/b"}')
    desk.jobs.failure = None
    desk.wire.failure = BrokerUnavailable("away.")
    with pytest.raises(BrokerUnavailable):
        await desk.take(b'{"function": "a/b"}')
    desk.wire.failure = QueueNotFound("gone.")
    await desk.take(b'{"function": "a/b"}')
    assert desk.wire.sent == []
