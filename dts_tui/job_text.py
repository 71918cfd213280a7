"""A job in words and lines: timeline, result, error, why. Pure, so that it is tested without a terminal."""

import json
from datetime import datetime
from typing import Any

import msgspec

from dts_core.model import Attempt
from dts_core.plain import glyphs, words
from dts_core.plain.cells import cells, pad
from dts_core.plain.figures import is_final
from dts_core.views import JobView
from dts_tui.clip import clipped
from dts_tui.draw import Line, bar, fit, wrap
from dts_tui.safe import safe, safe_lines
from dts_tui.state import timeline

LINES_MAX = 20_000
"""Most lines of a result that are shown."""
_OWN_FRAMES = ("/dts_core/", "/dts_worker/")


def head_lines(job: JobView, now: datetime, width: int, *, utc: bool) -> list[Line]:
    """What a job is, its way so far, and where it stands."""
    look = glyphs.job(job.state)
    state = (
        f"cancelling (grace {job.grace_seconds:g} s)" if job.state == "cancelling" else job.state
    )
    first: Line = [
        (" ", "text"),
        (f"{look.glyph} {state}", look.style),
        ("  ", "text"),
        (job.function, "strong"),
        (f"  {words.short_id(job.id)}", "dim"),
        (f"  by {job.submitter}", "dim"),
    ]
    if job.host:
        first.append((f"  on {job.host}", "dim"))
    if job.attempt > 1 or job.retries:
        first.append(
            (
                f"  attempt {max(job.attempt, 1)} of {job.retries + 1}",
                "warn" if job.attempt > 1 else "dim",
            )
        )
    return [first, _way(job, now, width, utc=utc), _standing(job, now, width)]


def _way(job: JobView, now: datetime, width: int, *, utc: bool) -> Line:
    out: Line = [(" ", "text")]
    for index, (state, at, seconds) in enumerate(timeline(job, now)):
        if index:
            out.append((" ▸ ", "faint"))
        look = glyphs.job(state) if state != "accepted" else glyphs.Look("", "dim")
        out.append((state + " ", look.style))
        out.append((words.clock(at, utc=utc), "dim"))
        if seconds is not None:
            out.append((f" {words.duration(seconds)}", "text"))
    return fit(out, width)


def _standing(job: JobView, now: datetime, width: int) -> Line:
    del now
    if job.state in ("running", "cancelling"):
        size = max(min(width // 3, 40), 10)
        return [
            (" ", "text"),
            *bar(job.progress, size, "busy"),
            (f" {words.share(job.progress)} ", "text"),
            (job.progress_text, "dim"),
        ]
    if job.error is not None and job.state != "done":
        text = f"{job.error.type}: {job.error.message}".strip().split("\n", 1)[0]
        return [(" ", "text"), (text, "bad" if is_final(job.state) else "warn")]
    if job.state == "done":
        weight = words.size(job.result_size) if job.result_size else ""
        return [(f" result {weight}", "dim")]
    return [(" " + why(job)[0], "dim")]


# --- why ------------------------------------------------------------------------------------------

_WHY = {
    "scheduled": "It waits for its start.",
    "pending": "It is stored, and the queue has not confirmed it yet; that is tried again every few seconds.",
    "queued": "It waits for a worker that takes from its queue and has a free slot.",
    "running": "A worker holds it and renews its lease with every heartbeat.",
    "retrying": "An attempt failed; the next one waits for the end of its backoff.",
    "cancelling": "It was told to stop; the worker has not confirmed the end yet.",
    "done": "The function returned.",
    "failed": "The function raised or ran out of time, and no retry was left.",
    "dead": "Its workers were lost too often, or its message could not be delivered.",
    "cancelled": "It was stopped, and that is confirmed: nothing of it runs any more.",
    "expired": "Its time to start passed while it waited.",
}


def why(job: JobView) -> list[str]:
    """Why a job stands where it stands, in sentences."""
    out = [_WHY.get(job.state, f"Its state is {job.state}.")]
    if job.reason:
        out.append(f"The server says: {job.reason}")
    if job.queue and not is_final(job.state):
        out.append(
            f"Its queue is {job.queue}"
            + (f", with priority {job.priority}." if job.priority else ".")
        )
    if job.due_at and job.state in ("scheduled", "retrying"):
        out.append(f"It is due at {words.instant(job.due_at)}.")
    if job.expires_at and not is_final(job.state):
        out.append(f"If it has not started by {words.instant(job.expires_at)}, it expires.")
    if job.losses:
        out.append(
            f"Its worker was lost {words.plural(job.losses, 'time')}; that charges no retry,"
            " but the third loss ends it."
        )
    if job.retries:
        left = max(job.retries + 1 - job.attempt, 0)
        out.append(
            f"{words.plural(job.attempt, 'attempt')} so far, {left} left;"
            f" waits start at {job.backoff_seconds:g} s and double."
        )
    if job.timeout_seconds:
        out.append(f"One attempt may run {words.duration(job.timeout_seconds)}.")
    if job.cancelled_by:
        out.append(f"{job.cancelled_by} asked to cancel it.")
    if job.again_of:
        out.append(f"It runs job {job.again_of} again.")
    return out


# --- result, error, attempts, raw -------------------------------------------------------------------


def result_lines(job: JobView) -> list[Line]:
    """The result; of a large one the beginning, with its size and how to get all of it."""
    value, is_cut = clipped(job.result)
    lines = value_lines(value)
    if not is_cut and len(lines) < LINES_MAX:
        return lines
    note = (
        f"the beginning of {words.size(job.result_size)}; all of it: dts job {safe(job.id)} --json"
    )
    return [[(note, "warn")], [], *lines]


def value_lines(value: Any) -> list[Line]:
    """A JSON value as a tree of coloured lines; a list of flat objects as a table."""
    if _is_table(value):
        return _table(value)
    return [_coloured(text) for text in _pretty(value)[:LINES_MAX]]


def _pretty(value: Any) -> list[str]:
    if isinstance(value, str):
        return safe_lines(value)
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode("utf-8", "replace")
    return safe_lines(text)


def _coloured(text: str) -> Line:
    body = text.lstrip(" ")
    indent = text[: len(text) - len(body)]
    if body.startswith('"'):
        end = _key_end(body)
        if end:
            return [(indent + body[:end], "accent"), (": ", "dim"), *_scalar(body[end + 2 :])]
    return [(indent, "text"), *_scalar(body)]


def _key_end(body: str) -> int:
    index = 1
    while index < len(body):
        if body[index] == "\\":
            index += 2
            continue
        if body[index] == '"':
            return index + 1 if body[index + 1 : index + 3] == ": " else 0
        index += 1
    return 0


def _scalar(text: str) -> Line:
    plain = text.rstrip(",")
    if plain in ("true", "false", "null"):
        style = "warn"
    elif plain[:1] == '"':
        style = "good"
    elif plain[:1].isdigit() or plain[:1] == "-":
        style = "busy"
    else:
        style = "dim"
    return [(plain, style), (text[len(plain) :], "dim")]


def _is_table(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) > 1
        and all(
            isinstance(row, dict)
            and row
            and not any(isinstance(v, dict | list) for v in row.values())
            for row in value[:200]
        )
        and all(row.keys() == value[0].keys() for row in value[:200])
    )


def _table(rows: list[Any]) -> list[Line]:
    names = list(rows[0])
    texts = [
        [safe(_short(row.get(name)), 200) for name in names]
        for row in rows[:LINES_MAX]
        if isinstance(row, dict)
    ]
    widths = [
        min(max(cells(safe(name)), *(cells(row[i]) for row in texts)), 48)
        for i, name in enumerate(names)
    ]
    head: Line = [
        (pad(safe(name), width) + "  ", "column") for name, width in zip(names, widths, strict=True)
    ]
    body: list[Line] = [
        [(pad(text, width) + "  ", "text") for text, width in zip(row, widths, strict=True)]
        for row in texts
    ]
    return [head, *body]


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def error_lines(job: JobView, width: int) -> list[Line]:
    """The error with its traceback; frames of dts itself are folded into one line."""
    error = job.error
    if error is None:
        return [[(" it has not failed", "dim")]]
    out: list[Line] = [
        [(text, "bad")] for text in wrap(safe(f"{error.type}: {error.message}", 4000), width)
    ]
    out.append([])
    folded = 0
    skip = False
    for text in safe_lines(error.traceback):
        if text.lstrip().startswith("File "):
            skip = any(part in text for part in _OWN_FRAMES)
            folded += skip
        elif not text.startswith("    "):
            skip = False
        if skip:
            continue
        style = (
            "accent"
            if text.lstrip().startswith("File ")
            else "dim"
            if text.startswith("  ")
            else "text"
        )
        out.append([(text, style)])
    if folded:
        out.append(
            [(f"({words.plural(folded, 'frame')} of dts left out; the tab Raw has them)", "faint")]
        )
    return out


def attempt_lines(job: JobView, attempts: list[Attempt], width: int, *, utc: bool) -> list[Line]:
    """Each claim of the job, the present one last."""
    out: list[Line] = [
        [
            (pad("claim", 7), "column"),
            (pad("host", 18), "column"),
            (pad("started", 10), "column"),
            (pad("lasted", 10), "column"),
            ("outcome", "column"),
        ]
    ]
    for each in attempts:
        took = (
            (each.ended_at - each.started_at).total_seconds()
            if each.ended_at and each.started_at
            else None
        )
        text = each.outcome.replace("_", " ")
        if each.error is not None:
            text += f"  {each.error.type}: {each.error.message}".split("\n", 1)[0]
        out.append(
            [
                (pad(str(each.epoch), 7), "text"),
                (pad(each.host, 18), "text"),
                (pad(words.clock(each.started_at, utc=utc), 10), "dim"),
                (pad(words.duration(took), 10), "text"),
                (text, "warn"),
            ]
        )
    if job.epoch and (not attempts or attempts[-1].epoch != job.epoch):
        took = (
            (job.finished_at - job.started_at).total_seconds()
            if job.finished_at and job.started_at
            else None
        )
        look = glyphs.job(job.state)
        out.append(
            [
                (pad(str(job.epoch), 7), "strong"),
                (pad(job.host, 18), "text"),
                (pad(words.clock(job.started_at, utc=utc), 10), "dim"),
                (pad(words.duration(took), 10), "text"),
                (f"{look.glyph} {job.state}", look.style),
            ]
        )
    if len(out) == 1:
        out.append([("no worker has taken it yet", "dim")])
    return [fit(line, width) for line in out]


def raw_lines(job: JobView) -> list[Line]:
    """The record as the API gives it, without the result."""
    if job.result_size > 4096:
        note = f"({words.size(job.result_size)}; see the tab Result)"
        job = msgspec.structs.replace(job, result=note)
    record = msgspec.to_builtins(job)
    return [_coloured(text) for text in _pretty(record)[:LINES_MAX]]


def call_lines(job: JobView, width: int) -> list[Line]:
    """The arguments of the call."""
    out: list[Line] = [[("arguments", "column")]]
    if isinstance(job.args, list) and job.args:
        for index, value in enumerate(job.args):
            out.append([(f"  {index}  ", "dim"), (safe(_short(value), max(width - 8, 10)), "text")])
    if isinstance(job.kwargs, dict):
        for name, value in job.kwargs.items():
            out.append(
                [(f"  {safe(name)} = ", "dim"), (safe(_short(value), max(width - 8, 10)), "text")]
            )
    if len(out) == 1:
        out.append([("  none", "dim")])
    return out
