"""The Wall as lines: pure functions from the shared state to panels, used by the screen, the snapshot and the tests."""

from datetime import datetime, timedelta

from dts_core.model import Alarm, JobCounts
from dts_core.plain import glyphs, words
from dts_core.plain import queues as plain
from dts_core.plain.cells import cells, cut, pad
from dts_core.plain.figures import counts_line, lasted
from dts_core.views import JobView, QueueView
from dts_tui.draw import Line, bar, box, fit, join, spread, wrap
from dts_tui.host_drawing import host_box, hosts_panel
from dts_tui.parts_drawing import troubled
from dts_tui.scene import Scene, Spot, pointed
from dts_tui.state import World

PANELS = ("hosts", "recent", "jobs", "queues", "alarms", "failed")


CHART_MOST = 14
"""Most rows of the box with a host's charts; what is left goes to the last jobs."""


WIDE = 100


def draw_wall(scene: Scene, width: int, height: int) -> list[Line]:
    """All panels in `width` x `height` cells."""
    view = scene.view
    if scene.world.status is None:
        return _waiting(scene, width, height)
    if view.zoomed:
        return _panel(scene, view.panel, 0, 0, width, height)
    if width >= WIDE:
        return _side_by_side(scene, width, height)
    if not view.side:
        return _panel(scene, "hosts", 0, 0, width, height)
    return _stacked(scene, width, height)


def _waiting(scene: Scene, width: int, height: int) -> list[Line]:
    why = scene.world.connection.why or "asking the server …"
    lines: list[Line] = [[] for _ in range(max(height // 3, 1))]
    texts = wrap(why, max(min(width - 8, 72), 20))
    shown: list[Line] = [[(text.center(width), "dim")] for text in texts]
    return lines + shown


def _side_by_side(scene: Scene, width: int, height: int) -> list[Line]:
    right = min(max(width * 36 // 100, 40), 64)
    left = width - right
    hosts = min(len(scene.world.hosts) + 2, max(height * 55 // 100, 4)) if height >= 18 else height
    if height - hosts < 7:
        hosts = height
    column = _panel(scene, "hosts", 0, 0, left, hosts)
    rest = height - hosts
    if rest > CHART_MOST + 5:
        column += host_box(scene, left, CHART_MOST)
        column += _panel(scene, "recent", 0, hosts + CHART_MOST, left, rest - CHART_MOST)
    elif rest:
        column += host_box(scene, left, rest)
    side: list[Line] = []
    for panel, size in _side_heights(scene, height):
        side += _panel(scene, panel, left, len(side), right, size)
    return [[*a, *b] for a, b in zip(column, side, strict=True)]


def _side_heights(scene: Scene, height: int) -> list[tuple[str, int]]:
    jobs = 2 + (len(_shown_counts(scene)) + 1) // 2 + 1
    queues = 3 + min(len(scene.world.queues), max((height - jobs) // 3 - 3, 1))
    alarms = 2 + max(
        min(len(scene.world.open_alarms), max((height - jobs - queues) // 2 - 2, 1)), 1
    )
    failed = height - jobs - queues - alarms
    if failed >= 3:
        return [("jobs", jobs), ("queues", queues), ("alarms", alarms), ("failed", failed)]
    return [("jobs", jobs), ("queues", height - jobs)]


def _stacked(scene: Scene, width: int, height: int) -> list[Line]:
    jobs = 3 + (len(_shown_counts(scene)) + 1) // 2
    queues = 3 + min(len(scene.world.queues), 5 if height >= 16 else 2)
    middle = max(jobs, queues) if height >= 8 else 0
    hosts = max(min(len(scene.world.hosts) + 2, height - middle), 3)
    rest = height - middle - hosts
    if 0 < rest < 3:
        hosts, rest = hosts + rest, 0
    out = _panel(scene, "hosts", 0, 0, width, hosts)
    if middle:
        half = width // 2
        left = _panel(scene, "jobs", 0, hosts, half, middle)
        right = _panel(scene, "queues", half, hosts, width - half, middle)
        out += [[*a, *b] for a, b in zip(left, right, strict=True)]
    if rest >= 9:
        # The host under the cursor in full is worth more than an empty list of failures.
        below = 2 + max(min(_lower_count(scene), 3), 1)
        out += host_box(scene, width, rest - below)
        out += _lower(scene, width, below, len(out))
    elif rest >= 3:
        out += _lower(scene, width, rest, len(out))
    return out


def _lower_count(scene: Scene) -> int:
    return max(len(scene.world.open_alarms), len(_failed(scene)))


def _lower(scene: Scene, width: int, height: int, y: int) -> list[Line]:
    if not scene.world.open_alarms:
        return _panel(scene, "failed", 0, y, width, height)
    if not _failed(scene):
        return _panel(scene, "alarms", 0, y, width, height)
    half = width // 2
    left = _panel(scene, "alarms", 0, y, half, height)
    right = _panel(scene, "failed", half, y, width - half, height)
    return [[*a, *b] for a, b in zip(left, right, strict=True)]


def _panel(scene: Scene, panel: str, x: int, y: int, width: int, height: int) -> list[Line]:
    title, body = {
        "hosts": hosts_panel,
        "recent": _recent,
        "jobs": _jobs,
        "queues": _queues,
        "alarms": _alarms,
        "failed": _failures,
    }[panel](scene, width - 4, height - 2)
    scene.spots.append(Spot(panel, x, y, width, height))
    here = scene.view.panel == panel and scene.view.focused
    return box(body, title, scene.age(), width, height, "focus" if here else "border")


def _shown_jobs(scene: Scene) -> int:
    return sum(scene.world.status.jobs.states.values()) if scene.world.status else 0


def _shown_counts(scene: Scene) -> list[tuple[str, int]]:
    return counts_line(scene.world.status.jobs.states if scene.world.status else {})


def _jobs(scene: Scene, width: int, height: int) -> tuple[Line, list[Line]]:
    title: Line = [("jobs", "title")]
    status = scene.world.status
    assert status is not None
    half = max((width - 2) // 2, 10)
    cells_: list[Line] = []
    for state, number in _shown_counts(scene):
        look = glyphs.job(state)
        quiet = "dim" if not number else "text"
        figure = words.short_count(number) if number >= 1_000_000 else words.count(number)
        cells_.append(
            spread(
                [(pad(look.glyph, 2), look.style if number else "dim"), (state, quiet)],
                [(figure, "strong" if number else "dim")],
                half,
            )
        )
    lines = [join(cells_[index : index + 2]) for index in range(0, len(cells_), 2)]
    lines.append(fit(_rates(status.jobs, hours=width >= 34), width))
    if height < len(lines):
        lines = [*lines[: height - 1], lines[-1]]
    return title, lines


def _rates(counts: JobCounts, *, hours: bool) -> Line:
    out: Line = []
    for name, minute, hour, style in (
        ("done", counts.done_last_minute, counts.done_last_hour, "good"),
        ("  failed", counts.failed_last_minute, counts.failed_last_hour, "bad"),
    ):
        out.append((f"{name} ", "dim"))
        out.append((f"{words.short_count(minute)}/min", style if minute else "dim"))
        if hours:
            bad = style == "bad" and hour
            out.append((f" {words.short_count(hour)}/h", "bad" if bad else "dim"))
    return out


def shown_queues(world: World) -> list[QueueView]:
    """The queues, those that hold jobs first."""
    return sorted(
        world.queues,
        key=lambda queue: (not queue.name.startswith("jobs."), -queue.ready, queue.name),
    )


def _queues(scene: Scene, width: int, height: int) -> tuple[Line, list[Line]]:
    queues = shown_queues(scene.world)
    dead = sum(queue.dead for queue in queues)
    title: Line = [("queues", "title")]
    if dead:
        title.append((f" ─ {words.plural(dead, 'dead letter')}", "bad"))
    if bad := troubled(scene.world.status.parts if scene.world.status else []):
        title = [("queues", "title"), (f" ─ {bad[0].name} {bad[0].state}", "bad")]
    stamp = scene.world.queue_stamp
    if scene.world.broker_trouble and stamp.at is not None:
        title.append((f", {words.age(stamp.age(scene.monotonic))} old", "warn"))
    oldest = width >= 34
    name = width - 16 - 8 * oldest
    head: Line = [(" " * name, "dim"), ("   ready unacked" + "  oldest" * oldest, "column")]
    first = max(scene.view.row("queues", len(queues)) - height + 2, 0)
    shown = queues[first : first + max(height - 1, 0)]
    lines = [_queue_line(queue, name, oldest=oldest) for queue in shown]
    return title, [head, *pointed(scene, "queues", lines, width, first)]


def _queue_line(queue: QueueView, name: int, *, oldest: bool) -> Line:
    ready = "warn" if queue.ready and not queue.consumers else "strong" if queue.ready else "dim"
    age = "paused" if queue.paused else plain.oldest(queue)
    unacked = plain.UNKNOWN if queue.partial else words.short_count(queue.unacked)
    return [
        _queue_name(queue, name, marked=queue.paused and not oldest),
        (pad(words.short_count(queue.ready), 8, "right"), ready),
        (pad(unacked, 8, "right"), "dim" if queue.partial or not queue.unacked else "busy"),
        (pad(age, 8, "right") if oldest else "", "warn" if queue.paused else "dim"),
    ]


def _queue_name(queue: QueueView, width: int, *, marked: bool) -> tuple[str, str]:
    if marked:
        return pad(cut(queue.name, max(width - 9, 4)) + " (paused)", width), "warn"
    return pad(queue.name, width), "text" if queue.ready or queue.unacked else "dim"


def _alarms(scene: Scene, width: int, height: int) -> tuple[Line, list[Line]]:
    alarms = scene.world.open_alarms
    title: Line = [("alarms ", "title"), (str(len(alarms)), "warn" if alarms else "good")]
    if scene.world.status is not None and scene.world.status.mail == "off":
        title.append((" · mail is off", "dim"))
    if not alarms:
        return title, [[("● ", "good"), ("all quiet", "dim")]]
    first = max(scene.view.row("alarms", len(alarms)) - height + 1, 0)
    lines = [alarm_line(alarm, scene.now) for alarm in alarms[first : first + height]]
    return title, pointed(scene, "alarms", lines, width, first)


def alarm_line(alarm: Alarm, now: datetime) -> Line:
    """One alarm in one line."""
    look = glyphs.ALARM.get(alarm.level, glyphs.UNKNOWN)
    return [
        (look.glyph + " ", look.style),
        (f"{alarm.host} {alarm.rule} ", "text"),
        (words.age((now - alarm.opened_at).total_seconds()) + " ", "dim"),
        (alarm.text, "dim"),
    ]


def _recent(scene: Scene, width: int, height: int) -> tuple[Line, list[Line]]:
    jobs = scene.world.recent
    title: Line = [("last jobs", "title")]
    if not jobs:
        text = "asking …" if _shown_jobs(scene) else "no job yet: n makes one"
        return title, [[(text, "dim")]]
    first = max(scene.view.row("recent", len(jobs)) - height + 1, 0)
    name = min(max(8, *(cells(job.function) for job in jobs)), 28)
    lines = [_job_line(scene, job, name, width) for job in jobs[first : first + height]]
    return title, pointed(scene, "recent", lines, width, first)


def _job_line(scene: Scene, job: JobView, name: int, width: int) -> Line:
    look = glyphs.job(job.state)
    took = lasted(job, scene.now)
    live = job.state == "running" and took is not None
    hosts = {each.host for each in scene.world.recent if each.host}
    host = min(max((cells(each) for each in hosts), default=0), 14) if len(hosts) > 1 else 0
    out: Line = [
        (pad(look.glyph, 2), look.style),
        (pad(job.state, 11), look.style),
        (pad(job.function, name) + " ", "text"),
        (pad(words.since(job.created_at, scene.now), 4, "right") + "  ", "dim"),
        (
            pad(words.age(int(took or 0)) if live else words.duration(took), 8, "right") + "  ",
            "dim",
        ),
        (pad(job.host, host) + "  " if host else "", "dim"),
    ]
    if job.state in ("running", "cancelling") and job.progress:
        return [
            *out,
            *bar(job.progress, 12, "busy"),
            (f" {words.share(job.progress)} ", "text"),
            (job.progress_text, "dim"),
        ]
    if job.error is not None:
        return [*out, (f"{job.error.type}: {job.error.message}".split("\n", 1)[0], "bad")]
    return out


def _failed(scene: Scene) -> list[JobView]:
    return scene.world.status.failed if scene.world.status else []


def _failures(scene: Scene, width: int, height: int) -> tuple[Line, list[Line]]:
    jobs = _failed(scene)
    title: Line = [("last failed", "title")]
    if not jobs:
        return title, [[("● ", "good"), ("none", "dim")]]
    first = max(scene.view.row("failed", len(jobs)) - height + 1, 0)
    name = min(max(8, *(cells(job.function) for job in jobs)), 24)
    lines = [_failure(job, scene.now, name) for job in jobs[first : first + height]]
    return title, pointed(scene, "failed", lines, width, first)


def _failure(job: JobView, now: datetime, name: int) -> Line:
    look = glyphs.job(job.state)
    why = f"{job.error.type}: {job.error.message}" if job.error else job.reason
    ended = job.finished_at or job.created_at + timedelta()
    return [
        (pad(look.glyph, 2), look.style),
        (pad(job.function, name) + " ", "text"),
        (pad(words.since(ended, now), 4, "right") + " ", "dim"),
        (why.strip().split("\n", 1)[0], "dim"),
    ]
