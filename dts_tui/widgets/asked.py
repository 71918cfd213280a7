"""What a login asks: its prompts, each with a line for the answer, which is masked unless the host wants it seen."""

from collections.abc import Callable, Sequence
from typing import Final

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Input

from dts_core.model import Prompt, Wording
from dts_core.plain.ssh import asked_by
from dts_tui.draw import Line, box, wrap
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.entry import Entry
from dts_tui.widgets.overlays import Overlay

WIDTH_MOST: Final = 90
TEXT_LINES: Final = 6
"""Most lines of what a host says above its prompts."""
PROMPT_LINES: Final = 3
"""Most lines of one prompt."""
_FRAME: Final = 4
"""Lines of the box beside what the host says: its edges, air, the keys."""


class _Words(Drawn):
    def __init__(self, make: Callable[[int, int], list[Line]]) -> None:
        super().__init__()
        self._make = make

    def draw(self, width: int, height: int) -> list[Line]:
        return self._make(width, height)


class _Row(Vertical):
    """One prompt, folded, and below it the line for its answer."""

    DEFAULT_CSS = "_Row { width: 1fr; }"

    def __init__(self, prompt: Prompt) -> None:
        super().__init__()
        self._text = prompt.text
        self._words = _Words(lambda width, height: self._told(width))
        self.entry = Entry(secret=not prompt.echo)

    def compose(self) -> ComposeResult:
        yield self._words
        yield self.entry

    def _told(self, width: int) -> list[Line]:
        return [[(f" {line}", "accent")] for line in wrap(self._text, width - 2)[:PROMPT_LINES]]

    def fold(self, width: int) -> int:
        """Take the lines that the prompt needs in this width; returns how many with the answer's."""
        lines = len(self._told(width))
        self._words.styles.height = lines
        self.styles.height = lines + 1
        return lines + 1


class _Rows(VerticalScroll):
    can_focus = False
    DEFAULT_CSS = """
    _Rows { scrollbar-size-vertical: 1; scrollbar-color: $primary; scrollbar-background: $background; }
    """

    def __init__(self, rows: Sequence[_Row]) -> None:
        super().__init__(*rows)
        self._asked = rows

    def at(self) -> int:
        """Which one has the keys."""
        return next((n for n, row in enumerate(self._asked) if row.entry.has_focus), 0)

    def reveal(self) -> None:
        """See the answer that has the keys, with its prompt as far as there is room."""
        row = self._asked[self.at()]
        for part in (row, row.entry):
            self.scroll_to_widget(part, animate=False, immediate=True)

    def on_resize(self) -> None:
        """In other room too."""
        self.call_after_refresh(self.reveal)


class Asked(Overlay):
    """Answers are handed on once and kept nowhere; `esc` refuses the question.

    Args:
        wording: What is asked.
        left: What is said of the time that is left.
        shares: Whether the answer can be given for other hosts too.
        answer: Called with the answers, and whether they are for all hosts that ask with these words.
        refuse: Called when there is none.
    """

    KEYS = (("tab", "next"), ("enter", "goes on, then answers"), ("esc", "refuses"))

    def __init__(
        self,
        wording: Wording,
        left: Callable[[], str],
        *,
        shares: bool,
        answer: Callable[[Sequence[str], bool], None],
        refuse: Callable[[], None],
    ) -> None:
        super().__init__()
        self._wording, self._left, self._shares = wording, left, shares
        self._answer, self._refuse = answer, refuse
        self._for_all = False
        self._told: list[str] = []
        """What the host says above its prompts, as far as there is room."""
        self.face = _Words(self._draw)
        self._asked = [_Row(prompt) for prompt in wording.prompts]
        self._rows = _Rows(self._asked)

    def compose(self) -> ComposeResult:
        """The box, and below it a line for each answer."""
        yield self.face
        yield self._rows

    def on_mount(self) -> None:
        """The time that is left runs."""
        self.set_interval(1.0, self.face.redraw)

    def first(self) -> Widget:
        """The first answer."""
        return self._asked[0].entry

    def fit_screen(self) -> None:
        """Take the room that there is; what does not fit is scrolled to with the keys."""
        size = self.screen.size
        width = min(size.width - 4, WIDTH_MOST)
        asked = [row.fold(width - 1) for row in self._asked]
        room = size.height - 2 - _FRAME - self._shares
        self._told = self._said(width)[: max(room - max(asked), 1)]
        height = len(self._told) + _FRAME + self._shares
        rows = min(sum(asked), max(room - len(self._told), 1))
        self.face.styles.height = height
        self._rows.styles.height = rows
        self.centre(width, height + rows)
        self.face.redraw()
        self.call_after_refresh(self._rows.reveal)

    def _said(self, width: int) -> list[str]:
        return wrap(asked_by(self._wording), width - 4)[:TEXT_LINES]

    def _draw(self, width: int, height: int) -> list[Line]:
        body: list[Line] = [[(text, "strong")] for text in self._told]
        body.append([])
        if self._shares:
            mark = "■" if self._for_all else "□"
            words = f" {mark} the same answer for all that ask with these words"
            body.append([("ctrl+t", "key"), (words, "text")])
        keys: Line = [
            ("enter", "key"),
            (self._enters(), "dim"),
            ("esc", "key"),
            (" refuses", "dim"),
        ]
        body.append(keys)
        left: Line = [(self._left(), "dim")]
        return box(body, [("a login asks", "warn")], left, width, height, "warn")

    def _enters(self) -> str:
        """What enter does where the cursor is."""
        count, at = len(self._asked), self._rows.at()
        if count == 1:
            return " answers  "
        goes = " answers" if at == count - 1 else " goes on"
        return f"{goes}, {at + 1} of {count}  "

    def on_key(self, event: events.Key) -> None:
        """Refuse, go up and down, or turn the switch."""
        if event.key in ("escape", "ctrl+q"):
            event.stop()
            self._forget()
            self.close()
            self._refuse()
        elif event.key in ("up", "shift+tab", "down", "tab"):
            event.stop()
            event.prevent_default()
            self._step(-1 if event.key in ("up", "shift+tab") else 1)
        elif event.key == "ctrl+t" and self._shares:
            event.stop()
            self._for_all = not self._for_all
            self.face.redraw()

    def _step(self, by: int) -> None:
        self.screen.set_focus(self._asked[(self._rows.at() + by) % len(self._asked)].entry)

    def on_descendant_focus(self) -> None:
        """Where one is, is said, and seen with its prompt."""
        self._rows.reveal()
        self.face.redraw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """On to the next line; behind the last one it is sent."""
        event.stop()
        if event.input is not self._asked[-1].entry:
            self._step(1)
            return
        answers = [row.entry.value for row in self._asked]
        self._forget()
        self.close()
        self._answer(answers, self._for_all)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Typing is nobody else's."""
        event.stop()

    def _forget(self) -> None:
        for row in self._asked:
            row.entry.value = ""
