"""Hosts with their history, alarms and logs."""

from datetime import datetime

from dts_core.model import Alarm, Host
from dts_core.views.base import View


class HostList(View, frozen=True):
    """GET /hosts."""

    items: list[Host]
    at: datetime


class DrainChange(View, frozen=True):
    """POST /hosts/{name}/drain and undrain: what is wished of the host, and whether that was this call's doing."""

    host: str
    draining: bool
    changed: bool


class SamplePoint(View, frozen=True):
    """One point of a host's history."""

    at: datetime
    cpu: float
    memory: float
    disk: float
    running: int
    load1: float = 0.0
    received: float = 0.0
    sent: float = 0.0


class SampleList(View, frozen=True):
    """GET /hosts/{name}/samples."""

    items: list[SamplePoint]


class AlarmList(View, frozen=True):
    """GET /alarms."""

    items: list[Alarm]


class LogLine(View, frozen=True):
    """One log record."""

    seq: int
    at: datetime
    host: str
    source: str
    level: int
    text: str
    job: str = ""
    function: str = ""


class LogPage(View, frozen=True):
    """GET /logs: oldest first; `position` is the newest position looked at, to follow from."""

    items: list[LogLine]
    position: int = 0
