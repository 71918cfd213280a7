"""What of a message travels in its headers on RabbitMQ; the same for both planes."""

from typing import Any, Final

from dts_core.brokers.base import Message

EXACT_TIME: Final = "x-dts-timestamp"
"""Header with the timestamp to the full: AMQP's own knows whole seconds only."""
DELIVERY_COUNT: Final = "x-delivery-count"
"""Quorum queues add it to what they hand out again; it is no header of the message's."""


def headers_of(message: Message) -> dict[str, Any]:
    """The headers as they travel: with the exact timestamp when it is not whole."""
    if not message.timestamp % 1:
        return message.headers
    return {**message.headers, EXACT_TIME: repr(message.timestamp)}


def take_headers(headers: dict[str, Any], whole: float) -> float:
    """Take out of the headers what is none of the message's own; returns the timestamp.

    Args:
        headers: As they came; changed in place.
        whole: The timestamp in whole seconds, as the property has it.
    """
    headers.pop(DELIVERY_COUNT, None)
    told = headers.pop(EXACT_TIME, None)
    if told is None:
        return whole
    try:
        exact = float(told)
    except (TypeError, ValueError):
        return whole
    # Only within the second that the property names: whoever sent it was free to lie.
    return exact if whole <= exact < whole + 1 else whole
