"""Queues under the names of `[broker.mq]`."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.brokers.base import (
    HEARTBEATS,
    JOBS,
    LOGS,
    REQUESTS,
    RESULTS,
    Broker,
    Message,
    Outgoing,
    QueueSpec,
)
from dts_core.brokers.naming import NamedBroker, Names
from dts_core.settings import QueueNames
from tests.support.brokers import RecordingBroker

OTHER = QueueNames(jobs="work", results="ends", heartbeats="beats", logs="words")


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        (f"{JOBS}default", "work.default"),
        (f"{JOBS}host.a.b", "work.host.a.b"),
        (RESULTS, "ends"),
        (HEARTBEATS, "beats"),
        (LOGS, "words"),
        (REQUESTS, REQUESTS),
        ("reply.1.2", "reply.1.2"),
    ],
)
def test_names_are_translated(queue: str, expected: str) -> None:
    """What the code calls by its own name is found under the configured one; the rest stays."""
    assert Names(OTHER).given(queue) == expected


@given(queue=st.text(max_size=30))
def test_usual_names_pass_untouched(queue: str) -> None:
    """With the defaults nothing is changed, nothing is copied."""
    names = Names(QueueNames())
    items = [Outgoing(queue, Message(b""))]
    assert names.given(queue) == queue
    assert names.outgoing(items) is items


async def test_messages_go_to_the_configured_queues() -> None:
    """Publications and declarations both use the names; the messages are the same."""
    recording = RecordingBroker()
    broker = NamedBroker(cast(Broker, recording), Names(OTHER))
    message = Message(b"body", message_id="1")
    await broker.publish([Outgoing(RESULTS, message), Outgoing(f"{JOBS}default", message)])
    assert [item.queue for item in recording.published] == ["ends", "work.default"]
    assert all(item.message is message for item in recording.published)
    await broker.declare(QueueSpec(f"{JOBS}default", claimed=True))
    assert recording.declared == {"work.default"}
