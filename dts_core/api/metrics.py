"""The figures of `/metrics`, in the text format of Prometheus."""

import resource
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from dts_core import __version__
from dts_core.errors import BrokerUnavailable
from dts_core.model import QueueStats
from dts_core.services.access import Caller, check_totals
from dts_core.services.container import Services

TEXT: Final = "text/plain; version=0.0.4"
Sample = tuple[Mapping[str, str], float]

HELP: Final[Mapping[str, str]] = {
    "dts_admin_writes_total": "Writes of admin documents.",
    "dts_cancels_untold_total": "Cancels that workers were not told of at once.",
    "dts_events_undecodable_total": "Announcements that could not be read.",
    "dts_events_unpublished_total": "Changes that could not be announced.",
    "dts_http_requests_total": "Answers by method, route and status.",
    "dts_job_cache_hits_total": "Jobs answered from memory.",
    "dts_job_cache_misses_total": "Jobs that needed a read of the store.",
    "dts_jobs_submitted_total": "Jobs accepted by this server.",
    "dts_jobs_finished_total": "Ends of jobs that were announced, by final state.",
    "dts_loop_lag_seconds": "How late the event loop was last time.",
    "dts_refused_total": "Refused attempts.",
    "dts_results_refused_total": "Results that came too late or from the wrong hand.",
    "dts_gateway_forbidden_total": "What workers launched over SSH tried and may not do.",
}

COUNTED: Final = (
    "dts_jobs_submitted_total",
    "dts_results_refused_total",
    "dts_gateway_forbidden_total",
)
"""Counters that are told from the start."""


async def collect(services: Services, caller: Caller) -> bytes:
    """All figures of this process and of the store and broker it uses.

    Raises:
        Forbidden: The caller does not see every namespace.
    """
    check_totals(caller)
    families: list[tuple[str, str, str, list[Sample]]] = []

    def add(name: str, kind: str, help_text: str, samples: Iterable[Sample]) -> None:
        families.append((name, kind, help_text, list(samples)))

    counts = await services.jobs.counts(caller)
    add("dts_info", "gauge", "The version that runs.", [({"version": __version__}, 1)])
    add(
        "dts_jobs",
        "gauge",
        "Jobs by state.",
        [({"state": state}, number) for state, number in sorted(counts.states.items())],
    )
    queues = await _queues(services)
    up: list[Sample] = [({}, float(queues is not None))]
    add("dts_broker_up", "gauge", "Whether the broker answers; without it no queues are told.", up)
    for field, kind, text in (
        ("ready", "gauge", "Messages that wait."),
        ("unacked", "gauge", "Messages handed out and not acked."),
        ("consumers", "gauge", "Consumers of the queue."),
        ("published", "counter", "Messages published since the broker started."),
        ("acked", "counter", "Messages acked since the broker started."),
        ("dropped", "counter", "Messages dropped because the queue was full."),
        ("dead", "gauge", "Dead letters kept."),
    ):
        name = f"dts_queue_{field}" + ("_total" if kind == "counter" else "")
        add(
            name,
            kind,
            text,
            [({"queue": each.name}, getattr(each, field)) for each in queues or ()],
        )
    cache = services.jobs.cache
    add("dts_job_cache_entries", "gauge", "Jobs in memory.", [({}, len(cache))])
    add("dts_job_cache_bytes", "gauge", "Bytes of the jobs in memory.", [({}, cache.bytes)])
    add("dts_job_cache_hit_ratio", "gauge", "Hits of all look-ups.", [({}, _hit_ratio(services))])
    add(
        "dts_long_polls",
        "gauge",
        "Requests that wait for a job.",
        [({}, len(services.jobs.waiters))],
    )
    add("dts_streams", "gauge", "Open live streams.", [({}, len(services.stream))])
    for name, value in sorted(services.store.metrics().items()):
        add(f"dts_{name}", "gauge", "A figure of the store.", [({}, float(value))])
    for name, (kind, samples) in sorted(_counted(services).items()):
        add(name, kind, HELP.get(name, "A figure of this process."), samples)
    add("process_resident_memory_bytes", "gauge", "Memory of this process.", [({}, _memory())])
    return render(families)


async def _queues(services: Services) -> list[QueueStats] | None:
    """None: the broker is away, and everything else is told all the same."""
    try:
        return await services.queues.stats()
    except BrokerUnavailable:
        return None


def render(families: Iterable[tuple[str, str, str, list[Sample]]]) -> bytes:
    """(name, kind, help, samples) as text."""
    lines = []
    for name, kind, help_text, samples in families:
        lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
        for labels, value in samples:
            inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
            lines.append(f"{name}{{{inside}}} {value:.15g}" if inside else f"{name} {value:.15g}")
    return ("\n".join(lines) + "\n").encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _counted(services: Services) -> dict[str, tuple[str, list[Sample]]]:
    found: dict[str, tuple[str, list[Sample]]] = {
        name: ("counter", [({}, 0.0)]) for name in COUNTED
    }
    seen: set[str] = set()
    for name, labels, value in services.counters:
        if name not in seen:
            seen.add(name)
            found[name] = ("counter" if name.endswith("_total") else "gauge", [])
        found[name][1].append((dict(labels), value))
    return found


def _hit_ratio(services: Services) -> float:
    hits = services.counters.value("dts_job_cache_hits_total")
    looks = hits + services.counters.value("dts_job_cache_misses_total")
    return hits / looks if looks else 0.0


def _memory() -> float:
    """Resident bytes: of now on Linux (a read of memory, not of a disk), the peak elsewhere."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)
