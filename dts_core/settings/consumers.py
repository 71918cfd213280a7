"""What each daemon consumes, and how."""

import msgspec

from dts_core.settings.base import Count, Seconds, Settings, Share


class ConsumerSettings(Settings, frozen=True):
    """`[consumer.NAME]`: qos and parameters that every consumer has."""

    notify: list[str] = []
    """Groups of users that are mailed what it has to tell: that it died, if nothing else."""
    prefetch: Count = 500
    batch: Count = 200
    """Most messages handled as one."""


class PorterSettings(ConsumerSettings, frozen=True):
    """`[consumer.porter]`."""


class StethoscopeSettings(ConsumerSettings, frozen=True):
    """`[consumer.stethoscope]`. A line is a share of the whole."""

    notify: list[str] = msgspec.field(default_factory=lambda: ["administrators"])
    """Groups of users that are mailed its alarms and their end."""
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

    notify: list[str] = []
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
