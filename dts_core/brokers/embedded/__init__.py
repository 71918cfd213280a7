"""The embedded broker: queues in the data folder's SQLite file, handed out by the one process that owns it."""

from dts_core.brokers.embedded.broker import EmbeddedBroker
from dts_core.brokers.embedded.links import Link
from dts_core.brokers.embedded.outlets import Taking
from dts_core.brokers.embedded.publishing import PreparedPublish

__all__ = ["EmbeddedBroker", "Link", "PreparedPublish", "Taking"]
