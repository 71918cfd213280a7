"""Hosts: heartbeats, progress, current state, history, alarms."""

from datetime import datetime

from dts_core.model.base import Document, Record


class Disk(Document, frozen=True, kw_only=True):
    """One mounted file system."""

    mount: str
    total: int
    used: int
    inodes_used: float = 0.0


class Readied(Document, frozen=True, kw_only=True):
    """What became of a version on a worker that a deploy told to have it ready."""

    order: str
    """Id of the deploy's job."""
    worker: str
    function: str
    hash: str
    why: str = ""
    """Why it is not ready; empty: it is."""
    runs: str = ""
    """Hash of the version of the function that the worker loaded last; empty: none yet."""


class Heartbeat(Document, frozen=True, kw_only=True, tag="heartbeat"):
    """A sign of life, with what the host and the worker are doing."""

    host: str
    worker: str
    boot_id: str
    sequence: int
    at: datetime
    """By the host's own clock; only for its skew."""
    interval_seconds: float
    version: str = ""
    python: str = ""
    system: str = ""
    loop: str = ""
    """uvloop | asyncio"""
    cpu: float = 0.0
    cpu_cores: list[float] = []
    load: tuple[float, float, float] = (0.0, 0.0, 0.0)
    memory_total: int = 0
    memory_available: int = 0
    swap_total: int = 0
    swap_used: int = 0
    disks: list[Disk] = []
    network_received: float = 0.0
    """bytes per second"""
    network_sent: float = 0.0
    uptime_seconds: float = 0.0
    loop_lag_seconds: float = 0.0
    slots: int = 0
    running: int = 0
    draining: bool = False
    held: list[tuple[str, int]] = []
    """(job id, epoch) of every claim; their leases are renewed."""
    counts: list[tuple[int, str, int]] = []
    """(event number of WorkerEvent, function, how many since the worker started)"""
    functions: dict[str, str] = {}
    """function -> hash of the newest version loaded here"""
    queues: list[str] = []
    missing: list[str] = []
    """Figures this host could not measure."""
    readied: list[Readied] = []
    """What lately became of versions that it was told to have ready; the newest last."""


class Progress(Record, frozen=True):
    """How far a job is. fraction in 0..1."""

    id: str
    epoch: int
    fraction: float
    text: str = ""


class ProgressReport(Document, frozen=True, kw_only=True, tag="progress"):
    """Progress of several jobs of one worker; goes where heartbeats go: only the last one matters."""

    host: str
    worker: str
    items: list[Progress]


class Host(Document, frozen=True, kw_only=True):
    """The current state of a host, kept by the stethoscope."""

    name: str
    state: str
    """up | late | lost | drained"""
    first_seen: datetime
    last_beat: datetime
    """By the control side's clock."""
    beat: Heartbeat
    alarms: int = 0
    workers: int = 1
    worker_names: list[str] = []
    """Of those that were heard lately; empty where an older stethoscope wrote it."""


class HostSample(Record, frozen=True):
    """One point of a host's bounded history."""

    at: datetime
    cpu: float
    memory: float
    """Used share, 0..1"""
    disk: float
    """Worst mount, 0..1"""
    running: int
    load1: float = 0.0
    received: float = 0.0
    sent: float = 0.0


class Notice(Document, frozen=True, kw_only=True):
    """That people are owed the news of an alarm, or have had it; kept with the alarm, in the same write."""

    of: str
    """opened | closed"""
    by: str
    """Idempotency key of the job that carries it: the alarm's own, or one of a digest of many."""
    until: datetime
    """End of the window that it was counted in; a digest goes out then."""
    sent: bool = False
    """Whether the job was accepted."""


class Alarm(Document, frozen=True, kw_only=True):
    """One incident: (host, rule, start)."""

    id: str
    host: str
    rule: str
    """cpu | memory | disk:<mount> | late | lost | missing"""
    level: str
    """warning | critical"""
    opened_at: datetime
    closed_at: datetime | None = None
    value: float = 0.0
    peak: float = 0.0
    text: str = ""
    notices: list[Notice] = []
    """Empty: nobody is told by mail."""
