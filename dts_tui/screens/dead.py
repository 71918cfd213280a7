"""Dead letters: messages that were given up, of one queue or of all."""

from collections.abc import Iterable

from dts_core.plain import queues as plain
from dts_core.plain import words
from dts_core.text import clean, clean_lines
from dts_core.views import DeadLetterDetail, DeadLetterList, DeadLetterView
from dts_tui.actions import subject_of_jobs
from dts_tui.draw import Line, wrap
from dts_tui.screens.base import Place
from dts_tui.screens.lists import WorldList
from dts_tui.screens.operating import ask_discard, ask_send_again
from dts_tui.state import Stamp
from dts_tui.widgets.overlays import Reader, pairs
from dts_tui.widgets.table import Column

PAGE = 200
EVERY_SECONDS = 5
"""How often the list is asked for while it is seen."""
BODY_LINES = 2_000


class DeadLetters(WorldList[DeadLetterView]):
    """The newest first; further ones come as one goes down."""

    scope, area = "dead", "queues"
    KEYS = ("number", "queue", "type", "message", "reason")
    EMPTY = "no dead letter: nothing was given up"

    def __init__(self, place: Place) -> None:
        self.queue = place.key
        self.known: dict[int, DeadLetterView] = {}
        self.next = 0
        self._asked = False
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
        return [self.known[seq] for seq in sorted(self.known, reverse=True)]

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
        """The first page; what was paged to before is asked for again."""

        def got(page: DeadLetterList) -> None:
            self.known = {each.seq: each for each in page.items}
            self.next, self._asked = page.next, True
            self.stamp.at = self.console.monotonic()
            self.world_changed()

        queue = self.queue
        self.ask("dead", lambda client: client.dead_letters(queue=queue, limit=PAGE), got)

    def on_table_reached(self) -> None:
        """The end is near: the next page."""
        before, queue = self.next, self.queue
        if not before:
            return

        def got(page: DeadLetterList) -> None:
            self.known |= {each.seq: each for each in page.items}
            self.next = page.next
            self.world_changed()

        self.ask(
            "more", lambda client: client.dead_letters(queue=queue, before=before, limit=PAGE), got
        )

    def tick(self) -> None:
        """Ages move; the list is asked for again while one is at its top and marks nothing."""
        self._ticks += 1
        if self._ticks % EVERY_SECONDS == 0 and self._may_refresh():
            self.refresh_data()
        self.table.stale = self.stamp.stale(self.console.monotonic())
        self.table.redraw()

    def _may_refresh(self) -> bool:
        world = self.console.world
        at_top = self.rows.place() == 0 and not self.rows.marks
        return at_top and world.paused_at is None and world.connection.up is True

    def _title(self) -> tuple[Line, Line]:
        left: Line = [("dead letters", "title"), (f" ─ {len(self.rows.items)}", "dim")]
        if self.next and len(self.known) >= PAGE:
            left.append((" and more", "dim"))
        if self.queue:
            left.append((f" ─ of {self.queue}", "accent"))
        if self.filter.terms:
            left.append((f" ─ {self.filter}", "accent"))
        if self.rows.marks:
            left.append((f" ─ {len(self.rows.marks)} marked", "warn"))
        age = self.stamp.age(self.console.monotonic())
        return left, [(f"age {words.age(int(age))}" if age is not None else "asking …", "dim")]

    def _empty(self) -> list[str]:
        return super()._empty() if self._asked else ["asking …"]

    # --- drawing --------------------------------------------------------------------------------

    def columns(self) -> list[Column[DeadLetterView]]:
        """Number, queue, age, what it was, why it was given up."""
        return [
            Column("number", lambda d, w: (str(d.seq), "strong"), 8, align="right", keep=9),
            Column(
                "queue",
                lambda d, w: (clean(d.queue), "text"),
                12,
                grow=1,
                most=30,
                keep=6,
                sort=lambda d: d.queue,
            ),
            Column("died", self._died, 8, align="right", keep=8),
            Column(
                "type",
                lambda d, w: (clean(d.type), "dim"),
                10,
                grow=1,
                most=16,
                keep=4,
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
            Column("reason", lambda d, w: (clean(d.reason), "bad"), 20, grow=5, keep=9),
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
        ask_send_again(self, self.rows.chosen())

    def do_discard(self) -> None:
        """The marked ones, or the one under the cursor."""
        ask_discard(self, self.rows.chosen())

    def do_mark(self) -> None:
        """Mark or unmark, and go on."""
        self.rows.marks ^= {self.rows.cursor} & self.rows.items.keys()
        self.table.move(1)

    def do_mark_all(self) -> None:
        """All that are shown."""
        self.rows.marks = set(self.rows.items)
        self.table.redraw()

    def do_unmark(self) -> None:
        """None."""
        self.rows.marks.clear()
        self.table.redraw()

    def step_out(self) -> bool:
        """Marks go first, then the filter."""
        if self.rows.marks:
            self.do_unmark()
            return True
        return super().step_out()

    def subject(self) -> dict[str, str]:
        """The chosen ones."""
        return subject_of_jobs([str(each.seq) for each in self.rows.chosen()])


def letter_lines(letter: DeadLetterDetail, width: int) -> list[Line]:
    """A dead letter's facts and its body, folded."""
    facts = [(clean(name, 60), clean(value), "text") for name, value in plain.dead_facts(letter)]
    out = [*pairs(facts, width), []]
    out += [[(text, "text")] for text in wrap(clean_lines(letter.body), width)[:BODY_LINES]]
    if letter.truncated:
        out.append([(f"… of {words.size(letter.size)}", "dim")])
    return out
