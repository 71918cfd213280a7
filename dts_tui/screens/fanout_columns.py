"""Columns of a board: of groups with the same answer, and of hosts."""

from collections.abc import Callable
from datetime import datetime

from dts_core.plain import words
from dts_core.text import clean
from dts_core.views.ssh import HostRunView
from dts_tui.fanout import Group, ended_words, state_cell, took_words
from dts_tui.widgets.table import Column

FOLDED_MOST = 2_000
"""Most characters of folded names that are laid out in a row."""


def group_columns(majority: Callable[[], str]) -> list[Column[Group]]:
    """How many hosts, how they ended, and which they are; `majority` tells the key of the largest group."""

    def answer(group: Group, width: int) -> tuple[str, str]:
        del width
        if not group.has_answer:
            return "", "dim"
        return ("the majority", "dim") if group.key == majority() else ("differs", "warn")

    return [
        Column(
            "hosts", lambda g, w: (words.count(len(g.views)), "strong"), 5, align="right", keep=9
        ),
        Column("state", lambda g, w: state_cell(g.state, w), 15, keep=9),
        Column("ended", lambda g, w: (g.ended, "text"), 10, grow=1, most=18, keep=7),
        Column("answer", answer, 12, keep=5),
        Column("which", lambda g, w: (clean(g.folded, FOLDED_MOST), "accent"), 20, grow=4, keep=8),
        Column("why", lambda g, w: (g.why, "dim"), 12, grow=3, keep=3),
    ]


def host_columns(now: Callable[[], datetime]) -> list[Column[HostRunView]]:
    """One host a row; `now` is the server's time."""
    return [
        Column(
            "host", lambda v, w: (clean(v.host, 300), "strong"), 14, grow=2, most=40, keep=9,
            sort=lambda v: v.host,
        ),
        Column("state", lambda v, w: state_cell(v.state, w), 15, keep=9, sort=lambda v: v.state),
        Column(
            "ended", lambda v, w: (ended_words(v), "text"), 10, grow=1, most=18, keep=7,
            sort=ended_words,
        ),
        Column("took", lambda v, w: (took_words(v, now()), "text"), 8, align="right", keep=6),
        Column(
            "printed", lambda v, w: (words.size(v.output_total), "dim"), 9, align="right", keep=4,
            sort=lambda v: -v.output_total,
        ),
        Column("answer", lambda v, w: (v.group[:8], "dim"), 8, keep=2, sort=lambda v: v.group),
        Column("why", _why, 14, grow=4, keep=5),
    ]  # fmt: skip


def _why(view: HostRunView, width: int) -> tuple[str, str]:
    text = "" if view.error is None else view.error.message.strip().split("\n", 1)[0]
    return clean(text, max(width * 2, 20)), "dim"
