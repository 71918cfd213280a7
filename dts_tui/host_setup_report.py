"""What a set-up knows of the host, and what it makes there, as lines. No Textual here."""

from collections.abc import Callable
from typing import Any, Final

from dts_core.plain import glyphs, words
from dts_core.plain.cells import pad
from dts_core.text import clean
from dts_tui.draw import Line, pairs
from dts_tui.host_setup import SetUp, shown
from dts_tui.host_setup_lines import advice_lines, text_lines, told_lines
from dts_tui.host_setup_steps import STATES, Around, Step

SAID_LINES: Final = 12
"""Last lines of the log that stand below the steps."""
SCOPES: Final = {
    "user": "user: in the home of who logs in",
    "system": "system: for the machine, as a user of its own; needs root or sudo",
}


def facts_lines(it: SetUp, step: Step, around: Around, width: int) -> list[Line]:
    """What the host is."""
    del around
    if step.state == "doing":
        return text_lines("Looking what the host is; nothing is changed there …", width, "dim")
    facts = it.report.get("facts")
    if not isinstance(facts, dict):
        looks = "enter looks, and makes the plan; nothing is changed."
        return [] if step.state == "failed" else advice_lines(looks, width)
    told = [(name, shown(make(facts)) or "-", "text") for name, make in _FACTS.items()]
    warnings = [shown(each) for each in it.report.get("warnings") or []]
    noted = [line for each in warnings for line in text_lines(f"▲ {each}", width, "warn")]
    return [
        *told_lines(told, width),
        *([[], *noted] if noted else []),
        [],
        *advice_lines("enter looks again.", width),
    ]


def _number(facts: dict[str, Any], name: str) -> float:
    value = facts.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


_FACTS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "system": lambda facts: f"{facts.get('os')}, {facts.get('arch')}",
    "Python": lambda facts: f"{facts.get('python_version')}, {facts.get('python')}",
    "cores, memory": lambda facts: (
        f"{_number(facts, 'cores'):.0f}, {words.size(_number(facts, 'memory_bytes'))}"
    ),
    "disk free": lambda facts: words.size(_number(facts, "disk_free_bytes")),
    "clock": lambda facts: f"{_number(facts, 'skew_seconds'):+.1f} s to ours",
    "systemd": lambda facts: "runs" if facts.get("systemd") else "does not run",
    "logs in as": lambda facts: (
        f"{facts.get('user')}, sudo {facts.get('sudo')}, home {facts.get('home')}"
    ),
}


def plan_lines(it: SetUp, step: Step, around: Around, width: int) -> list[Line]:
    """Each step of the plan."""
    del step, around
    options = it.options
    queues = ", ".join(options.queues) or "default"
    out = told_lines(
        [("scope", SCOPES[options.scope], "text"), ("queues", clean(queues, 400), "text")], width
    )
    if not it.planned:
        told = "The job makes its own plan: nobody has looked before it."
        return [*out, [], *text_lines(told, width, "dim"), [], *advice_lines(_PLANNED, width)]
    return [*out, [], *_planned(it, width), *advice_lines(_PLANNED, width)]


_PLANNED: Final = "enter looks again; e changes scope and queues."


def _planned(it: SetUp, width: int) -> list[Line]:
    """Each step of the plan: how it is, how it will be."""
    out: list[Line] = []
    for each in it.planned:
        name, is_, will = (shown(each.get(part)) for part in ("name", "is", "will"))
        changes = bool(each.get("changes"))
        look = glyphs.setup("yours" if changes else "so")
        note = "" if changes else "  as it shall be"
        out.append([(f" {look.glyph} ", look.style), (name, "strong"), (note, "dim")])
        told = [("is", is_, "dim"), ("will be", will, "text")] if changes else [("is", will, "dim")]
        out += [[("   ", "text"), *line] for line in pairs(told, width - 4)]
    return [*out, []]


def apply_lines(it: SetUp, step: Step, around: Around, width: int) -> list[Line]:
    """How far each step of the plan is, and what the job says."""
    del around
    if step.state == "yours":
        count = len(it.changes)
        told = (
            f"{words.plural(count, 'step')} to make on {it.vhost}: {', '.join(it.changes)}."
            if count
            else (f"Nothing is to be changed on {it.vhost}; its worker is looked for.")
        )
        return [*text_lines(clean(told, 400), width), [], *advice_lines(_APPLY, width)]
    out = _work_lines(it, width) if it.removal is None else []
    if step.state == "doing" and not out:
        out = text_lines(f"{step.told} …", width, "dim")
    if step.is_over:
        out += [[], *advice_lines("I sets it up anew, X removes what was made there.", width)]
    return out


def _work_lines(it: SetUp, width: int) -> list[Line]:
    """Each step of the plan as far as it is, and below them the log."""
    out: list[Line] = []
    for each in it.planned:
        name = shown(each.get("name"))
        mark = it.mark(name) if it.work is not None else "waiting"
        look = glyphs.setup(mark)
        will = shown(each.get("will")) if mark != "so" else ""
        head: Line = [(f" {look.glyph} ", look.style), (pad(name, 10), "strong")]
        out.append([*head, (pad(STATES[mark], 9), look.style), (will, "dim")])
    said = [shown(each) for each in it.said()[-SAID_LINES:]]
    told = [line for each in said for line in text_lines(each, width, "dim")]
    return [*out, [], *told] if told else out


_APPLY: Final = "enter sets it up, after a question; it may be left and cut at any moment, and goes on where it was."


def beat_lines(it: SetUp, step: Step, around: Around, width: int) -> list[Line]:
    """Whether it is heard."""
    told: list[tuple[str, str, str]] = []
    host, agent = around.host, around.agent
    if host is not None:
        age = words.since(host.last_beat, around.now)
        told += [
            ("host", f"{host.name} is {host.state}, last heard {age} ago", "text"),
            ("worker", f"{host.beat.worker}, version {host.beat.version}, Python {host.beat.python}", "text"),
            ("jobs", f"{host.beat.running} of {host.beat.slots}, from {', '.join(host.beat.queues)}", "text"),
        ]  # fmt: skip
    if agent is not None:
        told.append(("agent", agent.words, "text" if agent.state == "up" else "warn"))
    out = told_lines([(name, clean(value, 400), style) for name, value, style in told], width)
    if step.state == "doing":
        waiting = f"Everything is in place; {clean(it.vhost, 120)} has to say that it lives …"
        return [*text_lines(waiting, width), *([[], *out] if out else [])]
    return out


def job_lines(it: SetUp, step: Step, around: Around, width: int) -> list[Line]:
    """What there is to do with it."""
    del step, around
    told = f"{clean(it.vhost, 120)} is a worker, and takes jobs."
    return [*text_lines(told, width, "good"), [], *advice_lines(_JOB, width)]


_JOB: Final = "enter chooses a function, and runs it there.\nI sets the host up anew, X removes what was made there."
