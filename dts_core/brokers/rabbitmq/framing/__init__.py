"""AMQP 0-9-1 framing of our own: a data plane that batches. See docs/decisions/0007."""

from dts_core.brokers.rabbitmq.framing.channel import FramingPlane
from dts_core.brokers.rabbitmq.framing.opening import open_plane

__all__ = ["FramingPlane", "open_plane"]
