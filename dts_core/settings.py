"""The settings of every part: names, units, defaults, bounds. `config.py` fills them from file and environment.

Durations are seconds, sizes bytes, shares 0..1. One Struct a table of the TOML files; unknown keys are errors.
"""

import re
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0, le=366 * 86_400)]
Hours = Annotated[float, Meta(gt=0, le=366 * 24)]
Days = Annotated[float, Meta(gt=0, le=36_500)]
Count = Annotated[int, Meta(ge=1, le=1 << 40)]
Share = Annotated[float, Meta(ge=0, le=1)]
Url = Annotated[str, Meta(extra={"secret": "password"})]
"""May carry a password, which is never shown."""
Loop = Literal["auto", "uvloop", "asyncio"]


def secrecy(kind: Any) -> bool:
    """Whether values of this type may carry a secret."""
    metas = (each for each in get_args(kind) if isinstance(each, Meta))
    return any(meta.extra is not None and "secret" in meta.extra for meta in metas)


def masked(url: str) -> str:
    """The URL with what stands between `//` and the last `@` hidden, save the user's name; so in any text."""
    return re.sub(r"(//[^/@:\s]*):(?:\S*|[^/]*)@", r"\1:***@", url)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all tables. Its printed form hides secrets."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        values = (
            (field, getattr(self, field.name)) for field in msgspec.structs.fields(type(self))
        )
        return [(f.name, masked(value) if secrecy(f.type) else value) for f, value in values]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"


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
    throughput; classic: lowest latency, ten strict priorities. Only work queues: the others are classic."""
    delivery_limit: Annotated[int, Meta(ge=1, le=1_000)] = 20
    """Redeliveries after which a quorum queue gives a message up."""
    heartbeat_seconds: Annotated[int, Meta(ge=2, le=300)] = 10
    """Of AMQP: a silent connection is given up after two of them."""
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
    """What carries the messages: aio-pika's own channel, or the batching framing layer (docs/decisions)."""
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


class ServerSettings(Settings, frozen=True):
    """`[server]`."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 7117
    insecure: bool = False
    """Allow an address other than loopback without TLS."""
    tls_cert: str = ""
    tls_key: str = ""
    data: str = ""
    """Folder of admin.json, audit.key and the log of a server whose store is MongoDB; empty: the user's own.
    With an embedded store it is the store's folder."""
    plugins: str = ""
    """Folder of an administrator's plugins: modules with a `main`, called as dts/plugin.NAME."""
    token_hours: Hours = 24 * 30
    job_cache: Count = 20_000
    """Jobs whose record is kept in memory."""
    body_max: Count = 8 << 20
    """Largest request body; a single submission's arguments are limited to 1 MiB."""
    result_max: Annotated[int, Meta(ge=1, le=64 << 20)] = 16 << 20
    """Largest result of a job, in bytes of JSON; at most 64 MiB."""


class RetentionSettings(Settings, frozen=True):
    """`[retention]`."""

    jobs_days: Days = 30
    logs_days: Days = 7
    logs_bytes: Count = 2 << 30
    samples_hours: Hours = 24
    minutes_days: Days = 30


class LoggingSettings(Settings, frozen=True):
    """`[logging]`: of the part itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    file: str = ""
    """Empty: standard error."""


class ConsumerSettings(Settings, frozen=True):
    """`[consumer.NAME]`: qos and parameters that every consumer has."""

    prefetch: Count = 500
    batch: Count = 200
    """Most messages handled as one."""


class PorterSettings(ConsumerSettings, frozen=True):
    """`[consumer.porter]`."""


class StethoscopeSettings(ConsumerSettings, frozen=True):
    """`[consumer.stethoscope]`. A line is a share of the whole."""

    late_beats: Seconds = 3
    """Missed beats after which a host is late."""
    lost_seconds: Seconds = 15
    """Silence after which a host is lost."""
    lease_seconds: Seconds = 10
    cpu_fire: Share = 0.90
    cpu_clear: Share = 0.80
    cpu_seconds: Seconds = 300
    memory_fire: Share = 0.90
    memory_clear: Share = 0.85
    memory_seconds: Seconds = 180
    disk_fire: Share = 0.90
    disk_clear: Share = 0.85
    disk_seconds: Seconds = 120
    clear_seconds: Seconds = 300
    """How long a value stays under its clear line before the alarm closes."""


class LogtracerSettings(ConsumerSettings, frozen=True):
    """`[consumer.logtracer]`."""


class SchedulerSettings(Settings, frozen=True):
    """`[consumer.scheduler]`."""

    tick_seconds: Seconds = 0.5
    lease_seconds: Seconds = 10
    pending_seconds: Seconds = 5
    """Age from which a pending job is published again."""
    backoff_max_seconds: Seconds = 3600


class InternalSettings(ConsumerSettings, frozen=True):
    """`[consumer.internal]`."""

    prefetch: Count = 8
    concurrency: Count = 8
    """Calls at once."""


class ConsumersSettings(Settings, frozen=True):
    """`[consumer]`."""

    porter: PorterSettings = PorterSettings()
    stethoscope: StethoscopeSettings = StethoscopeSettings()
    logtracer: LogtracerSettings = LogtracerSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    internal: InternalSettings = InternalSettings()


class ProberSettings(Settings, frozen=True):
    """`[prober]`."""

    interval_seconds: Seconds = 2.0
    disks_seconds: Seconds = 30.0
    """How often the disks are looked at."""


class AgentSettings(Settings, frozen=True):
    """`[agent]`: which log files are followed."""

    paths: list[str] = []
    """Globs; ~ and ** are understood."""
    level: Literal["debug", "info", "warning", "error", "critical"] = "warning"
    """Lowest level that is sent; lines without a level count as info."""
    records_per_second: Count = 500
    """Above it, records are dropped and counted."""
    poll_seconds: Seconds = 0.5
    scan_seconds: Seconds = 5.0
    """How often the globs are looked up again."""
    from_start: bool = False
    """Whether a file never seen before is read from its beginning."""


class WorkerSettings(Settings, frozen=True):
    """`[worker]`."""

    host: str = ""
    """Name of this host; empty: the machine's own."""
    data: str = ""
    """Folder for cached sources and offsets; empty: the user's cache folder."""
    queues: list[str] = msgspec.field(default_factory=lambda: ["default"])
    """Queues that it takes from; the host's own queue is added."""
    slots: Annotated[int, Meta(ge=0)] = 0
    """Synchronous jobs at once; 0: as many as there are cores."""
    async_slots: Count = 200
    """Asynchronous jobs at once, in one shared child."""
    prefetch: Annotated[int, Meta(ge=0)] = 0
    """Deliveries held at most; 0: what the slots need, and up to 1,000 of asynchronous jobs that are over at once."""
    drain_seconds: Seconds = 30
    """How long running jobs may take to finish after SIGTERM."""
    child_jobs: Count = 10_000
    """Jobs after which a child is replaced."""
    child_memory: Annotated[int, Meta(ge=0)] = 0
    """Address space a child may use; 0: no limit."""
    log_lines_per_second: Count = 1_000
    """Most log lines of one job; more are dropped and counted."""
    loop: Loop = "auto"
    """auto: uvloop where it is installed."""


class WorkerFile(Settings, frozen=True):
    """worker.toml."""

    broker: LinkSettings = LinkSettings()
    worker: WorkerSettings = WorkerSettings()
    prober: ProberSettings = ProberSettings()
    agent: AgentSettings = AgentSettings()
    logging: LoggingSettings = LoggingSettings()


class ServerFile(Settings, frozen=True):
    """server.toml; on the embedded engine the server runs the daemons too."""

    broker: BrokerSettings = BrokerSettings()
    store: StoreSettings = StoreSettings()
    server: ServerSettings = ServerSettings()
    consumer: ConsumersSettings = ConsumersSettings()
    retention: RetentionSettings = RetentionSettings()
    logging: LoggingSettings = LoggingSettings()
    loop: Loop = "auto"


class DaemonsFile(Settings, frozen=True):
    """daemons.toml."""

    broker: BrokerSettings = BrokerSettings()
    store: StoreSettings = StoreSettings()
    consumer: ConsumersSettings = ConsumersSettings()
    retention: RetentionSettings = RetentionSettings()
    logging: LoggingSettings = LoggingSettings()
    plugins: str = ""
    result_max: Annotated[int, Meta(ge=1, le=64 << 20)] = 16 << 20
    """Largest result of a job, in bytes of JSON; the same as [server] result_max."""
    loop: Loop = "auto"


class TuiSettings(Settings, frozen=True):
    """`[console]`."""

    theme: Literal["dark", "light", "contrast", "colourblind"] = "dark"
    refresh_seconds: Seconds = 1.0
    ascii: bool = False
    mouse: bool = True
    log_lines: Count = 10_000
    read_only: bool = False
    start: str = "wall"
    """Area that opens first."""


class TuiFile(Settings, frozen=True):
    """tui.toml."""

    console: TuiSettings = TuiSettings()
    keys: dict[str, str] = {}
    """action -> key"""
