"""What RabbitMQ's management API tells of queues and AMQP does not: what is unacked, and how much moved."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import structlog

from dts_core.brokers.rabbitmq.framing.address import Address
from dts_core.deadline import time_left
from dts_core.errors import DtsError
from dts_core.hosting.management import Management

COLUMNS: Final = "name,messages_unacknowledged,message_stats"
log = structlog.get_logger(__name__)


class Told(msgspec.Struct, frozen=True):
    """Of one queue, or of the bands of one together; counted since the queue was made or the broker started."""

    unacked: int = 0
    published: int = 0
    delivered: int = 0
    acked: int = 0
    published_rate: float = 0.0
    """Messages per second, as RabbitMQ reckons them: its counts move in steps of some seconds."""
    delivered_rate: float = 0.0
    acked_rate: float = 0.0

    def __add__(self, other: "Told") -> "Told":
        return Told(
            self.unacked + other.unacked,
            self.published + other.published,
            self.delivered + other.delivered,
            self.acked + other.acked,
            self.published_rate + other.published_rate,
            self.delivered_rate + other.delivered_rate,
            self.acked_rate + other.acked_rate,
        )


class Overview:
    """Asks for the queues of one virtual host, with the user of the broker's own URL.

    Args:
        url: http(s)://HOST:15672; empty: nobody is asked.
        address: Of the broker.
        ca_file: PEM file that signs the certificate; empty: the system's.
        seconds: Longest wait for an answer.

    Raises:
        ConfigError: The URL is another one, or holds a password.
    """

    def __init__(self, url: str, address: Address, *, ca_file: str, seconds: float) -> None:
        self._vhost = address.vhost
        self._seconds = seconds
        self._complaint = ""
        self._api: Management | None = None
        if url:
            self._api = Management(
                url, user=address.user, password=address.password, ca_file=ca_file, seconds=seconds
            )

    async def take(self) -> dict[str, Told] | None:
        """By name, as RabbitMQ calls them; None when nobody is asked, or does not answer."""
        if self._api is None:
            return None
        try:
            async with asyncio.timeout(time_left(self._seconds)):
                found = await asyncio.to_thread(
                    self._api.get, "queues", self._vhost, query=f"columns={COLUMNS}"
                )
        except (DtsError, TimeoutError) as error:
            self._complain(str(error) or "no answer in time")
            return None
        self._complaint = ""
        return {each["name"]: _told(each) for each in found}

    def _complain(self, reason: str) -> None:
        """Once for each reason."""
        if reason != self._complaint:
            self._complaint = reason
            log.warning("the management API tells nothing of queues", reason=reason)


def _told(queue: Mapping[str, Any]) -> Told:
    moved = queue.get("message_stats", {})

    def rate(name: str) -> float:
        return float(moved.get(f"{name}_details", {}).get("rate", 0.0))

    return Told(
        unacked=queue.get("messages_unacknowledged", 0),
        published=moved.get("publish", 0),
        delivered=moved.get("deliver_get", 0),
        acked=moved.get("ack", 0),
        published_rate=rate("publish"),
        delivered_rate=rate("deliver_get"),
        acked_rate=rate("ack"),
    )
