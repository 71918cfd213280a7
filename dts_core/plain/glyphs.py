"""How a state is shown: a glyph and a word, never colour alone; and the ASCII set for terminals that need it."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from rich.cells import cell_len


class Look(NamedTuple):
    """A state's glyph and the palette style of both glyph and word."""

    glyph: str
    style: str


JOB: Mapping[str, Look] = {
    "done": Look("●", "good"),
    "running": Look("▶", "busy"),
    "pending": Look("·", "idle"),
    "cancelling": Look("◍", "warn"),
    "queued": Look("◌", "idle"),
    "scheduled": Look("◷", "idle"),
    "retrying": Look("↻", "warn"),
    "failed": Look("✗", "bad"),
    "dead": Look("☠", "dead"),
    "cancelled": Look("⊘", "idle"),
    "expired": Look("⌛", "idle"),
}
HOST: Mapping[str, Look] = {
    "up": Look("●", "good"),
    "late": Look("◐", "warn"),
    "lost": Look("○", "bad"),
    "draining": Look("◇", "warn"),
    "drained": Look("▽", "idle"),
    "silenced": Look("☾", "idle"),
}
ALARM: Mapping[str, Look] = {
    "critical": Look("▲", "bad"),
    "warning": Look("▲", "warn"),
    "closed": Look("●", "good"),
}
PART: Mapping[str, Look] = {
    "up": Look("●", "good"),
    "standby": Look("▽", "idle"),
    "away": Look("◐", "warn"),
    "quiet": Look("○", "bad"),
}
RUN: Mapping[str, Look] = {
    "ok": Look("●", "good"),
    "failed": Look("✗", "bad"),
    "unreachable": Look("○", "bad"),
    "timed_out": Look("◷", "warn"),
    "cancelled": Look("⊘", "idle"),
    "never_started": Look("◇", "idle"),
    "running": Look("▶", "busy"),
    "waiting": Look("·", "idle"),
}
"""What became of a host of a fan-out; the last two while its job goes on."""
SETUP: Mapping[str, Look] = {
    "waiting": Look("·", "idle"),
    "doing": Look("▶", "busy"),
    "yours": Look("◆", "accent"),
    "so": Look("●", "good"),
    "done": Look("✓", "good"),
    "failed": Look("✗", "bad"),
}
"""Where a step of a set-up stands."""
UNKNOWN = Look("?", "idle")


def job(state: str) -> Look:
    """The look of a job's state; of a state that a newer server knows, a question mark."""
    return JOB.get(state, UNKNOWN)


def host(state: str) -> Look:
    """The look of a host's state."""
    return HOST.get(state, UNKNOWN)


def run(state: str) -> Look:
    """The look of what became of a host of a fan-out."""
    return RUN.get(state, UNKNOWN)


def setup(state: str) -> Look:
    """The look of where a step of a set-up stands."""
    return SETUP.get(state, UNKNOWN)


def part(state: str) -> Look:
    """The look of the state of a part that runs."""
    return PART.get(state, UNKNOWN)


_ASCII = {
    "●": "*", "▶": ">", "·": ".", "◍": "%", "◌": "o", "◷": "@", "↻": "^", "✗": "x", "☠": "X",
    "⊘": "/", "⌛": "~ ", "◐": "c", "○": "o", "▽": "v", "☾": "(", "▲": "!", "⚑": "!", "▸": ">",
    "✓": "+", "◇": "d", "…": "~", "–": "-", "→": ">", "←": "<", "↑": "^", "↓": "v", "×": "x", "│": "|",
    "─": "-", "┌": "+", "┐": "+", "└": "+", "┘": "+", "├": "+", "┤": "+", "┬": "+", "┴": "+",
    "┼": "+", "━": "=", "╌": "-", "▕": "[", "▏": "]", "█": "#", "▉": "#", "▊": "#", "▋": "#",
    "▌": "=", "▍": "=", "▎": "-", "▁": "_", "▂": "_", "▃": ".", "▄": "-", "▅": "-", "▆": "=",
    "▇": "=", "▐": "|", "░": ".", "▒": ":", "▓": "%", "■": "#", "□": ".", "◆": "*", "╎": "|",
    "▪": "*", "⏎": "<", "≥": ">", "µ": "u", "°": "o", "▾": "v", "❯": ">", "┃": "|", "▼": "v",
}  # fmt: skip
_ASCII_TABLE = str.maketrans(_ASCII)


def to_ascii(text: str) -> str:
    """The same text, as wide, in ASCII: our own glyphs by their stand-ins, anything else as question marks."""
    if text.isascii():
        return text
    text = text.translate(_ASCII_TABLE)
    return (
        text if text.isascii() else "".join(c if c.isascii() else "?" * cell_len(c) for c in text)
    )


def wants_ascii(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the terminal cannot be trusted with more than ASCII: `DTS_ASCII=1`, or a locale without UTF-8."""
    environ = os.environ if environ is None else environ
    if "DTS_ASCII" in environ:
        return environ["DTS_ASCII"] not in ("", "0")
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if value := environ.get(name, ""):
            return "utf-8" not in value.lower() and "utf8" not in value.lower()
    return False
