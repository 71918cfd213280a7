"""Figures derived from what the API tells: of hosts, of jobs."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from dts_core.model import Host
from dts_core.states import FINAL, JobState
from dts_core.views import JobView


def memory_share(host: Host) -> float:
    """Used memory, 0..1."""
    total = host.beat.memory_total
    return (total - host.beat.memory_available) / total if total else 0.0


def worst_disk(host: Host) -> tuple[str, float]:
    """The fullest file system and its share."""
    shares = [(disk.used / disk.total, disk.mount) for disk in host.beat.disks if disk.total]
    if not shares:
        return "", 0.0
    share, mount = max(shares)
    return mount, share


_TROUBLE = {"lost": 3.0, "late": 2.0}


def pressure(host: Host) -> float:
    """How badly a host needs a look: state first, then alarms, then its scarcest resource."""
    load = max(host.beat.cpu, memory_share(host), worst_disk(host)[1])
    return _TROUBLE.get(host.state, 0.0) + min(host.alarms, 1) + load


def by_pressure(hosts: Iterable[Host]) -> list[Host]:
    """Worst first, but calm: hosts within the same tenth keep the order of their names."""
    return sorted(hosts, key=lambda host: (-int(pressure(host) * 10), host.name))


def host_state(host: Host) -> str:
    """Its state in a word or two: one that drains and still runs something is not drained yet."""
    return "draining" if host.beat.draining and host.state == "up" else host.state


def is_final(state: str) -> bool:
    """Whether nothing leaves this state; unknown states of a newer server count as moving."""
    return state in {final.value for final in FINAL}


def lasted(job: JobView, now: datetime) -> float | None:
    """Seconds that a job's latest attempt took, or has taken so far."""
    if job.started_at is None:
        return None
    if job.state in (JobState.QUEUED.value, JobState.RETRYING.value) and job.finished_at is None:
        return None
    return ((job.finished_at or now) - job.started_at).total_seconds()


def counts_line(states: Mapping[str, int]) -> list[tuple[str, int]]:
    """States with how many jobs stand there, the moving ones first, empty ones left out but for the usual five."""
    order = (
        "running", "queued", "done", "failed", "retrying", "scheduled", "pending", "cancelling",
        "dead", "cancelled", "expired",
    )  # fmt: skip
    usual = ("running", "queued", "done", "failed")
    return [(name, states.get(name, 0)) for name in order if states.get(name) or name in usual]
