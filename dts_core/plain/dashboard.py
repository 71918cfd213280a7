"""The dashboard as plain text, once: `dts status`, `dts-tui --once`."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from dts_core.plain import glyphs, words
from dts_core.plain import queues as plain
from dts_core.plain.cells import cells, cut, pad
from dts_core.plain.figures import (
    by_pressure,
    counts_line,
    host_state,
    is_final,
    lasted,
    memory_share,
    worst_disk,
)
from dts_core.text import clean
from dts_core.views import JobPage, JobView, StatusView

if TYPE_CHECKING:
    from dts_core.clients import Client

WIDTH = 110


async def fetch(client: "Client") -> tuple[StatusView, JobPage]:
    """Ask for what is shown. Raises ApiError."""
    async with client:
        status, page = await asyncio.gather(client.status(), client.jobs(limit=10))
        return status, page


def dashboard(
    status: StatusView, jobs: list[JobView], url: str, *, ascii_only: bool = False
) -> str:
    """Hosts with their figures, jobs by state, queues, alarms, the last jobs; no line is wider than WIDTH."""
    now, up = status.at, words.since(status.started_at, status.at)
    lines = [
        f"dts {status.version}  {url}  {words.instant(now)}  {status.engine} engine, up {up}",
        "",
    ]
    lines += _hosts(status, now)
    lines += _counts(status)
    lines += _queues(status)
    lines += _parts(status)
    lines += _alarms(status, now)
    lines += _jobs(jobs, now)
    text = "\n".join(cut(clean(line, 400), WIDTH).rstrip() for line in lines) + "\n"
    return (
        "".join(glyphs.to_ascii(part) for part in text.splitlines(keepends=True))
        if ascii_only
        else text
    )


def _hosts(status: StatusView, now: datetime) -> list[str]:
    if not status.hosts:
        return ["HOSTS  none yet", ""]
    rows = [("HOST", "STATE", "BEAT", "CPU", "MEMORY", "DISK", "LOAD", "JOBS")]
    for host in by_pressure(status.hosts):
        look, beat = glyphs.host(host_state(host)), host.beat
        mount, disk = worst_disk(host)
        rows.append(
            (
                host.name,
                f"{look.glyph} {host_state(host)}",
                words.since(host.last_beat, now),
                f"{beat.cpu * 100:.1f}%",
                f"{words.share(memory_share(host))} of {words.size(beat.memory_total)}",
                f"{words.share(disk)} {mount}",
                f"{beat.load[0]:.2f}",
                f"{beat.running}/{beat.slots}",
            )
        )
    return [*_columns(rows), ""]


def _counts(status: StatusView) -> list[str]:
    parts = [
        f"{glyphs.job(name).glyph} {name} {words.count(number)}"
        for name, number in counts_line(status.jobs.states)
    ]
    counts = status.jobs
    rates = (
        f"done {words.count(counts.done_last_minute)}/min {words.count(counts.done_last_hour)}/h"
    )
    rates += f"   failed {words.count(counts.failed_last_minute)}/min {words.count(counts.failed_last_hour)}/h"
    return ["JOBS   " + "   ".join(parts), f"       {rates}", ""]


def _queues(status: StatusView) -> list[str]:
    rows = [("QUEUE", "READY", "UNACKED", "OLDEST", "CONSUMERS", "DEAD", "STATE")]
    rows += [
        (
            queue.name,
            words.count(queue.ready),
            plain.unacked(queue),
            plain.oldest(queue),
            str(queue.consumers),
            words.count(queue.dead),
            plain.state(queue, status.at),
        )
        for queue in sorted(status.queues, key=lambda queue: queue.name)
    ]
    return [*_columns(rows), ""]


def _parts(status: StatusView) -> list[str]:
    if not status.parts:
        return []
    rows = [("PART", "STATE", "WHERE")]
    for part in status.parts:
        where = f"{part.host} {part.pid}" if part.host else ""
        rows.append((part.name, f"{glyphs.part(part.state).glyph} {part.words}", where))
    return [*_columns(rows), ""]


def _alarms(status: StatusView, now: datetime) -> list[str]:
    alarms = [alarm for alarm in status.alarms if alarm.closed_at is None]
    off = [f"       {words.MAIL_OFF}"] if status.mail == "off" else []
    if not alarms:
        return ["ALARMS none", *off, ""]
    return [
        *(
            f"ALARM  {a.level}  {a.host}  {a.rule}  {words.since(a.opened_at, now)}  {a.text}"
            for a in alarms
        ),
        *off,
        "",
    ]


def _jobs(jobs: list[JobView], now: datetime) -> list[str]:
    if not jobs:
        return ["LAST JOBS  none yet"]
    rows = [("LAST JOBS", "STATE", "FUNCTION", "HOST", "AGE", "TOOK", "")]
    for job in jobs:
        note = (
            f"{job.error.type}: {job.error.message}"
            if job.error
            else (job.progress_text if not is_final(job.state) else "") or job.reason
        )
        look = glyphs.job(job.state)
        rows.append(
            (
                job.id,
                f"{look.glyph} {job.state}",
                job.function,
                job.host,
                words.since(job.created_at, now),
                words.duration(lasted(job, now)),
                note.split("\n", 1)[0],
            )
        )
    return _columns(rows)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    safe = [[clean(cell, 60) for cell in row] for row in rows]
    widths = [min(max(cells(row[i]) for row in safe), 40) for i in range(len(rows[0]))]
    return [
        "  ".join(pad(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in safe
    ]
