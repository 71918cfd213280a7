"""Message <-> AMQP properties, as pamqp has them. No input or output here."""

from datetime import UTC, datetime
from typing import Any, Final

from pamqp.commands import Basic

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.mapping import headers_of, take_headers

TRANSIENT: Final = 1
PERSISTENT: Final = 2


def to_amqp(message: Message, *, persistent: bool) -> Basic.Properties:
    """What is empty is left out."""
    return Basic.Properties(
        content_type=message.content_type or None,
        content_encoding=message.content_encoding or None,
        headers=headers_of(message) or None,
        delivery_mode=PERSISTENT if persistent else TRANSIENT,
        priority=message.priority or None,
        correlation_id=message.correlation_id or None,
        reply_to=message.reply_to or None,
        message_id=message.message_id or None,
        timestamp=datetime.fromtimestamp(int(message.timestamp), UTC)
        if message.timestamp
        else None,
        message_type=message.type or None,
        user_id=message.user_id or None,
        app_id=message.app_id or None,
    )


def from_amqp(properties: Basic.Properties, body: bytes) -> Message:
    """The message; what is not there is empty."""
    headers: dict[str, Any] = dict(properties.headers or {})
    whole = properties.timestamp.timestamp() if properties.timestamp else 0.0
    exact = take_headers(headers, whole)
    return Message(
        body,
        type=properties.message_type or "",
        message_id=properties.message_id or "",
        correlation_id=properties.correlation_id or "",
        reply_to=properties.reply_to or "",
        priority=properties.priority or 0,
        timestamp=exact,
        app_id=properties.app_id or "",
        content_type=properties.content_type or "",
        content_encoding=properties.content_encoding or "",
        headers=headers,
        user_id=properties.user_id or "",
    )
