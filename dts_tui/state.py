"""What the console knows, as plain data: no Textual, no network, so that every rule here is tested by itself."""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dts_core.model import Alarm, Host
from dts_core.plain.figures import is_final, memory_share
from dts_core.views import JobView, QueueView, SamplePoint, StatusView
from dts_tui.admin_documents import Memory
from dts_tui.fanout import BoardMemory
from dts_tui.host_form import HostChoice
from dts_tui.host_import import Import
from dts_tui.host_setup import SetUp

SAMPLES_MAX = 150
"""Points of a host's history kept: five minutes at one every two seconds."""


@dataclass
class Stamp:
    """When some data came, by the monotonic clock, and how often it should."""

    interval: float = 1.0
    at: float | None = None

    def age(self, now: float) -> float | None:
        """Seconds since it came; None before the first time."""
        return None if self.at is None else max(now - self.at, 0.0)

    def stale(self, now: float) -> bool:
        """Older than two intervals (and a quarter second, so that a slow answer is not a stale one)."""
        age = self.age(now)
        return age is not None and age > 2 * self.interval + 0.25


@dataclass
class Connection:
    """Whether the server answers; None before the first answer."""

    up: bool | None = None
    since: datetime | None = None
    why: str = ""
    retry_at: float | None = None
    """By the monotonic clock."""
    answered: bool = False
    """While it is not up: whether there was an answer, that it cannot now."""
    latency: float | None = None
    """Seconds of the last answer."""

    def lost(self, at: datetime, why: str, retry_at: float, *, answered: bool = False) -> bool:
        """Note that there was no answer, or none that helps; True when that is news."""
        news = self.up is not False
        if news:
            self.since = at
        self.up, self.why, self.retry_at = False, why, retry_at
        self.answered = answered
        return news

    def back(self, at: datetime, latency: float | None = None) -> bool:
        """Note an answer; True when that is news."""
        news = self.up is not True
        if news:
            self.since = at
        self.up, self.why, self.retry_at = True, "", None
        self.latency = latency if latency is not None else self.latency
        return news


@dataclass
class History:
    """The last five minutes of one host."""

    cpu: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))
    memory: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))
    sequence: int = -1
    count: int = 0
    """Samples ever added: keeps the columns of a chart on the same samples while time moves on."""
    loaded: bool = False

    def load(self, points: Iterable[SamplePoint]) -> None:
        """Take the server's history as the beginning."""
        points = list(points)[-SAMPLES_MAX:]
        if points:
            self.cpu = deque((point.cpu for point in points), maxlen=SAMPLES_MAX)
            self.memory = deque((point.memory for point in points), maxlen=SAMPLES_MAX)
        self.loaded = True

    def beat(self, host: Host) -> None:
        """Add the figures of a heartbeat that was not seen yet."""
        if host.beat.sequence != self.sequence:
            self.sequence = host.beat.sequence
            self.cpu.append(host.beat.cpu)
            self.memory.append(memory_share(host))
            self.count += 1


@dataclass
class World:
    """Everything that is shown in more than one place."""

    user: str = ""
    role: str = ""
    connection: Connection = field(default_factory=Connection)
    status: StatusView | None = None
    recent: list[JobView] = field(default_factory=list)
    """The newest jobs, while the Wall shows them."""
    stamp: Stamp = field(default_factory=Stamp)
    queues: list[QueueView] = field(default_factory=list)
    """All queues, as they were last told: a broker that is away does not tell them."""
    queue_stamp: Stamp = field(default_factory=Stamp)
    history: dict[str, History] = field(default_factory=dict)
    paused_at: float | None = None
    skew: float = 0.0
    """The server's clock minus ours, in seconds, so that ages are by one clock."""
    documents: Memory = field(default_factory=Memory)
    """What is remembered of the lists of users, namespaces and virtual hosts."""
    calling: HostChoice | None = None
    """Hosts that were chosen to run something on."""
    lent: set[str] = field(default_factory=set)
    """Jobs whose logins the SSH agent here signs."""
    importing: Import | None = None
    """The import of hosts that was begun."""
    boards: dict[str, BoardMemory] = field(default_factory=dict)
    """How boards were left, by job."""
    setups: dict[str, SetUp] = field(default_factory=dict)
    """How far the set-up of hosts is, as it was last seen here."""

    def take(self, status: StatusView, now: datetime, monotonic: float) -> None:
        """Note a new answer of GET /status."""
        self.status = status
        self.stamp.at = monotonic
        self.skew = (status.at - now).total_seconds()
        if status.queues or not self.broker_trouble:
            self.queues = status.queues
            self.queue_stamp = Stamp(self.stamp.interval, monotonic)
        names = {host.name for host in status.hosts}
        for name in list(self.history):
            if name not in names:
                del self.history[name]
        for host in status.hosts:
            self.history.setdefault(host.name, History()).beat(host)

    @property
    def hosts(self) -> list[Host]:
        """All hosts, in the server's order."""
        return self.status.hosts if self.status else []

    @property
    def open_alarms(self) -> list[Alarm]:
        """Alarms that nothing has closed."""
        return (
            [alarm for alarm in self.status.alarms if alarm.closed_at is None]
            if self.status
            else []
        )

    @property
    def broker_trouble(self) -> str:
        """What is wrong with the broker, in words; empty while it answers."""
        parts = self.status.parts if self.status else []
        return next(
            (part.words for part in parts if part.name == "broker" and part.state != "up"), ""
        )

    def host(self, name: str) -> Host | None:
        """One host by its name."""
        return next((host for host in self.hosts if host.name == name), None)


@dataclass
class Trail:
    """What was looked at, like a browser's history, at most 50 places."""

    places: list[Any] = field(default_factory=list)
    at: int = -1

    def visit(self, place: Any) -> None:
        """Note a place; what lay ahead is forgotten."""
        if self.at >= 0 and self.places[self.at] == place:
            return
        self.places = [*self.places[: self.at + 1], place][-50:]
        self.at = len(self.places) - 1

    def forget(self, kinds: Collection[str]) -> None:
        """Drop the latest places of these kinds: what was filled in and sent is no place to go back to."""
        self.places = self.places[: self.at + 1]
        while self.places and self.places[-1].kind in kinds:
            self.places.pop()
        self.at = len(self.places) - 1

    def older(self) -> Any | None:
        """One step back; None at the beginning."""
        if self.at <= 0:
            return None
        self.at -= 1
        return self.places[self.at]

    def newer(self) -> Any | None:
        """One step forward; None at the end."""
        if self.at + 1 >= len(self.places):
            return None
        self.at += 1
        return self.places[self.at]


def timeline(job: JobView, now: datetime) -> list[tuple[str, datetime, float | None]]:
    """The states of a job in order: (state, since when, seconds spent there or None when it ended there)."""
    points: list[tuple[str, datetime]] = [("accepted", job.created_at)]
    if job.queued_at:
        if (job.queued_at - job.created_at).total_seconds() < 1:
            points.clear()  # accepting took no time worth a word
        points.append(("queued", job.queued_at))
    if job.started_at:
        points.append(("running", job.started_at))
    if job.finished_at:
        points.append((job.state, job.finished_at))
    elif points[-1][0] != job.state:
        points.append(
            (
                job.state,
                points[-1][1] if job.state == "pending" else max(points[-1][1], job.created_at),
            )
        )
    out: list[tuple[str, datetime, float | None]] = []
    for index, (name, at) in enumerate(points):
        if index + 1 < len(points):
            out.append((name, at, (points[index + 1][1] - at).total_seconds()))
        else:
            out.append((name, at, None if is_final(job.state) else (now - at).total_seconds()))
    return out
