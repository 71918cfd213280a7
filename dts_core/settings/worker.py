"""The worker."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dts_core.settings.base import Count, Days, Loop, Seconds, Settings, Url


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


class EnvironmentSettings(Settings, frozen=True):
    """`[worker.environments]`: packages for functions that declare them (PEP 723)."""

    enabled: bool = True
    """false: jobs of functions that declare packages fail here."""
    index_url: Url = ""
    """Where packages come from; empty: what pip is configured to use on this host."""
    find_links: list[str] = []
    """Folders (absolute, or from ~) or URLs with packages, beside the index."""
    no_index: bool = False
    """Only `find_links`; no index is asked."""
    constraints: str = ""
    """File of pip constraints; it bounds versions whatever functions declare."""
    require_hashes: bool = False
    """Only packages whose hash stands in `constraints`, each pinned by ==."""
    allow_builds: bool = False
    """Also source packages and requirements that name a URL: their build scripts run as the worker's user."""
    timeout_seconds: Seconds = 600
    """Longest time to make one."""
    max_bytes: Count = 10 << 30
    """Of all of them; the least recently used go. Also the most that one may have."""
    keep_days: Days = 30
    """How long one stays that no job uses."""


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
    environments: EnvironmentSettings = EnvironmentSettings()
