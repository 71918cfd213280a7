"""Dead letters as they travel: a copy with the reason, or what a queue gave up by itself. No input or output here."""

import hashlib
import secrets
from collections.abc import Container
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from dts_core.brokers.base import DeadLetter, Delivery, Message
from dts_core.brokers.rabbitmq.topology import queue_of
from dts_core.brokers.rabbitmq.vouching import USER, passed_on
from dts_core.brokers.senders import host_of
from dts_core.text import one_line

REASON: Final = "x-dts-reason"
QUEUE: Final = "x-dts-queue"
KEY: Final = "x-dts-key"
_OURS: Final = frozenset((REASON, QUEUE, KEY, USER))
_DEATH: Final = "x-death"
_FIRST: Final = "x-first-death-"
_REASONS: Final = {
    "rejected": "refused without a reason",
    "expired": "nobody took it in time",
    "maxlen": "its queue was full",
    "delivery_limit": "came back {limit} times without an end",
}


def letter_copy(delivery: Delivery, reason: str) -> Message:
    """What is published to `dead` for a delivery that is refused with a reason."""
    message = delivery.message
    headers = {
        **passed_on(message).headers,
        QUEUE: delivery.queue,
        REASON: one_line(reason, 300),
        KEY: secrets.token_hex(16),
    }
    return _with(message, headers, "")


def letter_of(
    message: Message, *, now: datetime, delivery_limit: int = 20
) -> tuple[str, DeadLetter]:
    """The key and the letter of a message from `dead`.

    The same message gives the same key again, so that a redelivered one is kept once. `seq` is 0: the store gives it.

    Args:
        message: As it came.
        now: When it came, for those that do not say when they died.
        delivery_limit: Of the quorum queues, for the reason's words.
    """
    headers = dict(message.headers)
    key, queue, reason, user = (_text(headers.get(name)) for name in (KEY, QUEUE, REASON, USER))
    deaths = headers.get(_DEATH)
    death = deaths[0] if isinstance(deaths, list) and deaths else {}
    death = death if isinstance(death, dict) else {}
    if not queue:
        queue = queue_of(_text(death.get("queue")))
        cause = _text(death.get("reason"))
        reason = _REASONS.get(cause, cause).format(limit=delivery_limit)
    when = death.get("time")
    died = when if isinstance(when, datetime) else now
    if not key:
        told = f"{queue}\0{message.message_id}\0{died.timestamp()}".encode()
        key = hashlib.sha256(told + message.body).hexdigest()
    kept = {
        name: value
        for name, value in headers.items()
        if name not in _OURS and name != _DEATH and not name.startswith(_FIRST)
    }
    plain = _with(message, kept, user or message.user_id)
    return key, DeadLetter(0, queue, died.astimezone(UTC), one_line(reason, 300), plain)


def may_go_again(letter: DeadLetter, up: Container[str]) -> bool:
    """Whether it may be sent again: in a worker's name only to the queues in `up`, where its user writes itself."""
    return host_of(letter.message.user_id) is None or letter.queue in up


def _with(message: Message, headers: dict[str, Any], user: str) -> Message:
    return msgspec.structs.replace(message, headers=headers, user_id=user)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
