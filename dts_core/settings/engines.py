"""The engine: broker and store."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dts_core.settings.base import Count, Seconds, Settings, Url


class QueueNames(Settings, frozen=True):
    """`[broker.mq]`: what the queues are called."""

    jobs: str = "jobs"
    results: str = "results"
    heartbeats: str = "heartbeats"
    logs: str = "logs"


class TlsSettings(Settings, frozen=True):
    """`[broker.tls]`, `[store.tls]`: for amqps:// and for mongodb:// with tls=true."""

    ca_file: str = ""
    """Certificates that sign the server's; empty: the system's."""
    cert_file: str = ""
    """Our own certificate, where the server asks for one."""
    key_file: str = ""


class RabbitSettings(Settings, frozen=True):
    """`[broker.rabbitmq]`: what only RabbitMQ knows; the same in every part."""

    kinds: dict[str, Literal["quorum", "classic"]] = msgspec.field(
        default_factory=lambda: {"jobs.host.*": "classic", "*": "quorum"}
    )
    """Pattern of queue names (as a shell's) -> kind; the first that fits. quorum: replicated, poison limit, high
    throughput; classic: lowest latency, ten strict priorities. Patterns mean work queues; `requests`, `heartbeats` and
    `logs` are classic unless named outright: for a cluster they should be quorum too."""
    delivery_limit: Annotated[int, Meta(ge=1, le=1_000)] = 20
    """Redeliveries after which a quorum queue gives a message up."""
    heartbeat_seconds: Annotated[int, Meta(ge=2, le=300)] = 4
    """Of AMQP: RabbitMQ gives a silent connection up after two to three of them, and with it frees what a frozen worker
    was sent and has not taken; later than a lease ends, that would hold up what is queued anew."""
    deadline_seconds: Annotated[float, Meta(ge=0.5, le=60)] = 5.0
    """Longest wait for any answer of the broker."""
    window: Annotated[int, Meta(ge=1, le=65_535)] = 1_000
    """Most messages published and not confirmed yet."""
    settle_seconds: Annotated[float, Meta(ge=0, le=60)] = 2.0
    """Nothing is published into a quorum queue for so long after it was made: RabbitMQ writes down where it keeps its
    messages only about a second later, and would not find them after a crash before that."""
    ack_after_seconds: Seconds = 600
    """A delivery of a job that runs this long is acked on the strength of its claim; well below the broker's
    consumer_timeout (30 min by default)."""
    plane: Literal["aio-pika", "framing"] = "aio-pika"
    """Whose connection carries the messages: aio-pika's, or ones of our own (docs/decisions/0007)."""
    management: str = ""
    """http(s)://HOST:PORT of the management API, for what AMQP does not tell the control side of queues: what is
    unacked, and rates. Asked with the user of `url`."""


class LinkSettings(Settings, frozen=True):
    """`[broker]` of a worker."""

    url: Url = "link+unix:///~/.local/share/dts/server/link.sock"
    """link+unix:///SOCKET of the owner (absolute, or ~/ after the ///), or amqp(s)://USER:PASSWORD@HOST:PORT/VHOST."""
    mq: QueueNames = QueueNames()
    tls: TlsSettings = TlsSettings()
    rabbitmq: RabbitSettings = RabbitSettings()


class BrokerSettings(LinkSettings, frozen=True):
    """`[broker]` of the control side."""

    url: Url = "sqlite:///~/.local/share/dts/server"
    """sqlite:///FOLDER of the owner (absolute, or ~/ after the ///), or amqp(s)://USER:PASSWORD@HOST:PORT/VHOST."""
    heartbeats_limit: Count = 2_000
    """Most heartbeats waiting; the oldest is dropped."""
    logs_limit: Count = 2_000
    """Most log batches waiting; the oldest is dropped."""


class StoreSettings(Settings, frozen=True):
    """`[store]`, the original's `db`."""

    url: Url = "sqlite:///~/.local/share/dts/server"
    """sqlite:///FOLDER (the file in it is dts.db), or mongodb://... with the database's name as its path."""
    tls: TlsSettings = TlsSettings()
    pool: Annotated[int, Meta(ge=1, le=1_000)] = 20
    """Most connections to MongoDB."""
    deadline_seconds: Annotated[float, Meta(ge=0.5, le=60)] = 4.0
    """Longest wait for MongoDB, the search for a server included; below the 5 s in which a request is answered."""
    allow_standalone: bool = False
    """Take a MongoDB that is no replica set, which cannot keep all promises (docs/howto)."""
