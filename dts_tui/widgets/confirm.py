"""The question before something that cannot be taken back."""

from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Input

from dts_core.plain.cells import cut
from dts_tui.draw import Line, box, wrap
from dts_tui.widgets.entry import Entry
from dts_tui.widgets.overlays import Face, Overlay

NAMES_SHOWN = 8
"""Most names that a question spells out."""
_CONFIRM_FRAME = 6
"""Lines of a question beside its words and names: the frame, air, the buttons."""


def _shortened(lines: list[str], most: int) -> list[str]:
    """At most so many lines; that something is left out is seen."""
    return lines if len(lines) <= most else [*lines[: most - 1], lines[most - 1] + " …"]


class Confirm(Overlay):
    """A question before something that cannot be taken back. Cancel is the default.

    Args:
        question: What will be done, to how many.
        names: What it will hit, each by name.
        yes: The word for doing it.
        then: Called when it is confirmed.
        typed: When not empty, this has to be typed.
    """

    KEYS = (("tab", "chooses"), ("enter", "takes it"), ("esc", "leaves"))

    def __init__(
        self,
        question: str,
        names: Sequence[str],
        yes: str,
        then: Callable[[], None],
        *,
        typed: str = "",
    ) -> None:
        super().__init__()
        self._question, self._names, self._yes, self._then = question, list(names), yes, then
        self._typed = typed
        self._told: list[str] = []
        self._shown = 0
        """Lines of the question, and names, that there is room for."""
        self._on_yes = False
        self._wrong = False
        self.face = Face(self._draw)

    def compose(self) -> ComposeResult:
        """The box, and the line for the name when one has to be typed."""
        yield self.face
        if self._typed:
            yield Entry(hint=f"type {self._typed} to confirm")

    def first(self) -> Widget:
        """The line for the name, else the buttons."""
        return self.query_one(Input) if self._typed else self.face

    def fit_screen(self) -> None:
        """The question whole before the names, as far as there is room; the buttons always."""
        size = self.screen.size
        width = min(max(size.width - 8, 40), 76)
        room = size.height - 2 - _CONFIRM_FRAME - bool(self._typed)
        self._told = _shortened(wrap(self._question, width - 4), max(room - 2, 1))
        self._shown = min(len(self._names), NAMES_SHOWN, max(room - len(self._told) - 1, 0))
        more = self._shown < len(self._names)
        height = len(self._told) + self._shown + more + _CONFIRM_FRAME
        self.face.styles.height = height
        self.face.redraw()
        self.centre(width, height + bool(self._typed))

    def _draw(self, width: int, height: int) -> list[Line]:
        body: list[Line] = [[]]
        body += [[(text, "strong")] for text in self._told]
        body += [[("  " + cut(name, width - 8), "accent")] for name in self._names[: self._shown]]
        if more := len(self._names) - self._shown:
            body.append([(f"  and {more} more", "dim")])
        body.append([])
        if self._typed:
            said = f"that is not {self._typed}: nothing was done"
            body.append([(said, "bad") if self._wrong else ("enter does it, esc leaves it", "dim")])
        else:
            on, off = ("tabon", "tab") if self._on_yes else ("tab", "tabon")
            body.append(
                [
                    (" Cancel ", off),
                    ("  ", "text"),
                    (f" {self._yes} ", on),
                    ("   y yes  n no", "faint"),
                ]
            )
        return box(body, [("Sure?", "warn")], [], width, height, "warn")

    def on_key(self, event: events.Key) -> None:
        """Left and right choose, enter does what is chosen, y and n answer at once."""
        key = event.key
        if key in ("escape", "ctrl+q"):
            event.stop()
            self.close()
        elif self._typed:
            return
        elif key in ("left", "right", "tab", "shift+tab", "h", "l"):
            self._on_yes = not self._on_yes
            self.face.redraw()
            event.stop()
        elif key == "y" or (key == "enter" and self._on_yes):
            event.stop()
            self.close()
            self._then()
        elif key in ("n", "enter"):
            event.stop()
            self.close()
        else:
            event.stop()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Only the exact name counts; another one is said to be wrong."""
        event.stop()
        if event.value == self._typed:
            self.close()
            self._then()
            return
        self._wrong = True
        self.face.redraw()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Typing goes on."""
        event.stop()
        self._wrong = False
        self.face.redraw()
