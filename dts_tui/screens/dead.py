"""Dead letters: messages that were given up, of one queue or of all."""

import json
from collections.abc import Iterable

from dts_core.errors import DtsError
from dts_core.plain import queues as plain
from dts_core.plain import words
from dts_core.text import clean, clean_lines
from dts_core.views import DeadLetterDetail, DeadLetterList, DeadLetterView
from dts_tui.actions import subject_of_jobs
from dts_tui.dead_pages import ASKED_MOST, PAGE, DeadPages
from dts_tui.draw import Line, wrap
from dts_tui.rows import ROWS_MAX
from dts_tui.screens.base import Place
from dts_tui.screens.lists import MarkedList
from dts_tui.screens.operating import ask_discard, ask_send_again
from dts_tui.state import Stamp
from dts_tui.widgets.overlays import Reader, pairs
from dts_tui.widgets.table import Column

EVERY_SECONDS = 5
"""How often the list is asked for while it is seen."""
BODY_LINES = 2_000


class DeadLetters(MarkedList[DeadLetterView]):
    """The newest first; further ones come as one goes down."""

    scope, area = "dead", "queues"
    KEYS = ("number", "queue", "type", "message", "reason")

    def __init__(self, place: Place) -> None:
        self.queue = place.key
        self.pages = DeadPages()
        self._why = ""
        """Why the last asking gave nothing."""
        self._ticks = 0
        self.stamp = Stamp(float(EVERY_SECONDS))
        super().__init__(place)

    def crumbs(self) -> list[str]:
        """Below Queues."""
        return ["Queues", *([self.queue] if self.queue else []), "dead letters"]

    def entered(self) -> None:
        """Ask."""
        self.world_changed()
        self.refresh_data()

    def key(self, item: DeadLetterView) -> str:
        """Its number."""
        return str(item.seq)

    def records(self) -> Iterable[DeadLetterView]:
        """The newest first."""
        return self.pages.in_order()

    def record(self, item: DeadLetterView) -> dict[str, str]:
        """For filter and export."""
        return {
            "number": str(item.seq),
            "queue": item.queue,
            "died": item.died.isoformat(),
            "type": item.type,
            "message": item.message_id,
            "size": str(item.size),
            "reason": item.reason,
        }

    # --- asking ---------------------------------------------------------------------------------

    def refresh_data(self) -> None:
        """The newest ones, as many as are shown or one request gives."""
        queue, limit = self.queue, self._limit()

        def got(page: DeadLetterList) -> None:
            self.pages.newest(page)
            self.stamp.at = self.console.monotonic()
            self._took(len(page.items) < limit)

        self.ask(
            "dead",
            lambda client: client.dead_letters(queue=queue, limit=limit),
            got,
            failed=self._refused,
        )

    def on_table_reached(self) -> None:
        """The end is near: the next page."""
        self.pages.look_anew()
        self._look_on()

    def set_filter(self, text: str) -> None:
        """Show only what fits, and look further down when that is little."""
        super().set_filter(text)
        self.pages.look_anew()
        self._look_on_if(few=False)

    def _look_on(self) -> None:
        before, queue, limit = self.pages.next, self.queue, self._limit()
        full = not self.filter.terms and len(self.pages.known) >= ROWS_MAX
        if not before or full:
            return

        def got(page: DeadLetterList) -> None:
            self.pages.older(page)
            self._took(len(page.items) < limit)

        self.ask(
            "more",
            lambda client: client.dead_letters(queue=queue, before=before, limit=limit),
            got,
            failed=self._refused,
        )

    def _took(self, short: bool) -> None:
        self._why = ""
        self.world_changed()
        self._look_on_if(few=short)

    def _look_on_if(self, *, few: bool) -> None:
        """What fits may be further down; a short page may be the last one, which the next one tells."""
        few = few or bool(self.filter.terms)
        if few and len(self.rows.items) < max(self.table.page, PAGE) and self.pages.may_look():
            self._look_on()

    def _limit(self) -> int:
        if self.queue or self.filter.terms:
            return ASKED_MOST
        return min(max(len(self.pages.known), PAGE), ASKED_MOST)

    def _refused(self, error: DtsError) -> None:
        self._why = str(error)
        self.table.redraw()

    def tick(self) -> None:
        """Ages move; the list is asked for again: cursor and marks stay with their letters."""
        self._ticks += 1
        if self._ticks % EVERY_SECONDS == 0 and self._may_refresh():
            self.refresh_data()
        self.table.stale = self.stamp.stale(self.console.monotonic())
        self.table.redraw()

    def _may_refresh(self) -> bool:
        world = self.console.world
        return world.paused_at is None and world.connection.up is True

    def _title(self) -> tuple[Line, Line]:
        left: Line = [("dead letters", "title"), (f" ─ {self._count()}", "dim")]
        if self.queue:
            left.append((f" ─ of {self.queue}", "accent"))
        if self.filter.terms:
            left.append((f" ─ {self.filter}", "accent"))
        if self.rows.marks:
            left.append((f" ─ {len(self.rows.marks)} marked", "warn"))
        age = self.stamp.age(self.console.monotonic())
        if age is None:
            return left, [] if self._why else [("asking …", "dim")]
        if self.stamp.stale(self.console.monotonic()):
            return left, [(f"stale {words.age(int(age))}", "warn")]
        return left, [(f"age {words.age(int(age))}", "dim")]

    def _count(self) -> str:
        shown, known, more = len(self.rows.items), len(self.pages.known), bool(self.pages.next)
        if shown < known and self.filter.terms:
            return f"{shown} of {'the newest ' if more else ''}{known}"
        return f"{shown} and more" if more else f"{shown}"

    def _empty(self) -> list[str]:
        if self._why:
            return wrap(self._why, max(self.size.width - 6, 20))
        if not self.pages.asked:
            return ["asking …"]
        if self.filter.terms:
            return super()._empty()
        if self.pages.next:
            return ["none among the newest ones", "`dts dead list --queue` looks at all"]
        if self.queue:
            return [
                f"no dead letter came from {clean(self.queue, 120)}",
                "L lists those of every queue",
            ]
        return ["no dead letter: nothing was given up"]

    # --- drawing --------------------------------------------------------------------------------

    def columns(self) -> list[Column[DeadLetterView]]:
        """Number, queue, age, what it was, why it was given up."""
        return [
            Column("number", lambda d, w: (str(d.seq), "strong"), 7, align="right", keep=9),
            Column(
                "queue",
                lambda d, w: (clean(d.queue), "text"),
                12,
                grow=1,
                most=30,
                keep=6,
                sort=lambda d: d.queue,
            ),
            Column("died", self._died, 12, align="right", keep=8),
            Column(
                "type",
                lambda d, w: (clean(d.type), "dim"),
                10,
                grow=1,
                most=16,
                keep=2,
                sort=lambda d: d.type,
            ),
            Column(
                "message", lambda d, w: (clean(d.message_id), "dim"), 12, grow=1, most=28, keep=3
            ),
            Column(
                "size",
                lambda d, w: (words.size(d.size), "dim"),
                8,
                align="right",
                keep=5,
                sort=lambda d: -d.size,
            ),
            Column("reason", lambda d, w: (clean(d.reason), "bad"), 30, grow=5, keep=9),
        ]

    def _died(self, letter: DeadLetterView, width: int) -> tuple[str, str]:
        return words.moment(letter.died, self.console.now(), utc=self.console.utc), "dim"

    # --- actions --------------------------------------------------------------------------------

    def do_open(self) -> None:
        """Everything about it, its body as text that does nothing."""
        if (letter := self.rows.current) is None:
            return
        seq = letter.seq
        self.ask("letter", lambda client: client.dead_letter(seq), self._show)

    do_describe = do_open

    def _show(self, letter: DeadLetterDetail) -> None:
        self.console.open_overlay(
            Reader(f"dead letter {letter.seq}", lambda width: letter_lines(letter, width))
        )

    def do_send_again(self) -> None:
        """The marked ones, or the one under the cursor."""
        ask_send_again(self, self.rows.chosen(), self.pages.forget)

    def do_discard(self) -> None:
        """The marked ones, or the one under the cursor."""
        ask_discard(self, self.rows.chosen(), self.pages.forget)

    def subject(self) -> dict[str, str]:
        """The chosen ones."""
        seqs = [each.seq for each in self.rows.chosen()]
        return subject_of_jobs([str(seq) for seq in seqs]) | {"ids_json": json.dumps(seqs)}


def letter_lines(letter: DeadLetterDetail, width: int) -> list[Line]:
    """A dead letter's facts and its body, folded."""
    facts = [(clean(name, 60), clean(value), "text") for name, value in plain.dead_facts(letter)]
    out = [*pairs(facts, width), []]
    out += [[(text, "text")] for text in wrap(clean_lines(letter.body), width)[:BODY_LINES]]
    if letter.truncated:
        out.append([(f"… of {words.size(letter.size)}", "dim")])
    return out
