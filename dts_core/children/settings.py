"""The settings of a pool and of each child in it."""

import sys

import msgspec

from dts_core.model import RESULT_MAX


class ChildSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every child of a pool has in common."""

    host: str = ""
    python: str = sys.executable
    memory: int = 0
    """Address space in bytes; 0: no limit."""
    lines_per_second: int = 1000
    """Of one job."""
    variables: dict[str, str] = {}
    """Added to the environment of user code."""
    folder: str = ""
    """Where working folders are made; empty: the system's place for temporary files."""


class ChildrenSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How many children, and for how long."""

    slots: int = 2
    """Synchronous calls at once, each in a child of its own; at least 1."""
    async_slots: int = 200
    """Asynchronous calls at once, in one shared child."""
    child_jobs: int = 10_000
    """Calls after which a child is replaced."""
    result_max: int = RESULT_MAX
    """Longest answer that is read from a child, in bytes, unless a call that it has been given allows a longer one."""
    idle_seconds: float = 60.0
    """How long a child of another interpreter than the pool's own stays without a call."""
    adopt_orphans: bool = False
    """End whatever user code leaves running, however detached, even when we are killed: adopts every orphan below this
    process and starts a keeper beside it. Only for a process that has no children but the pool's."""
    child: ChildSettings = ChildSettings()
