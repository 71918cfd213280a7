"""The dashboard and the stream."""

from datetime import datetime
from typing import Any

from dts_core.model import Alarm, Host, JobCounts
from dts_core.views.base import View
from dts_core.views.jobs import JobView
from dts_core.views.queues import QueueView


class PartView(View, frozen=True):
    """One part that runs, with its connections."""

    name: str
    """server, porter, broker, store, link web-1, ..."""
    state: str
    """up | away | standby | quiet"""
    words: str
    """The state in words."""
    host: str = ""
    pid: int = 0
    version: str = ""
    started_at: datetime | None = None
    seen_at: datetime | None = None


class StatusView(View, frozen=True):
    """GET /status: the whole dashboard in one answer."""

    version: str
    engine: str
    at: datetime
    started_at: datetime
    jobs: JobCounts
    hosts: list[Host]
    queues: list[QueueView]
    alarms: list[Alarm]
    failed: list[JobView] = []
    """The last few that failed or died."""
    components: dict[str, str] = {}
    """part of the answering server -> its state in words"""
    parts: list[PartView] = []
    """Every part there is, with broker and store"""
    mail: str = ""
    """on | off: whether alarms are mailed, as the answering server is configured"""


class StreamEvent(View, frozen=True):
    """One event of /stream. `id` resumes it; `data` is a JobView, Host, Alarm, a list of LogLine or of QueueStats."""

    topic: str
    id: str
    data: Any
