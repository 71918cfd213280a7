"""Somebody was quicker: both versions of a document, and what to do about it."""

from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.widget import Widget

from dts_tui.draw import Line, box, wrap
from dts_tui.widgets.overlays import Face, Overlay

Version = tuple[str, str, str, str]


class Versions(Overlay):
    """Shows each field that either side changed: as it was, theirs, mine. Cancel is the default.

    Args:
        question: What happened, to what.
        fields: (field, as it was, theirs, mine).
        theirs: Called to take theirs.
        mine: Called to put mine on theirs.
    """

    def __init__(
        self,
        question: str,
        fields: Sequence[Version],
        theirs: Callable[[], None],
        mine: Callable[[], None],
    ) -> None:
        super().__init__()
        self._question, self._fields = question, list(fields)
        self._answers = [("Cancel", None), ("Take theirs", theirs), ("Put mine on theirs", mine)]
        self._at = self._top = 0
        self.face = Face(self._draw)

    def compose(self) -> ComposeResult:
        """Only the box."""
        yield self.face

    def first(self) -> Widget:
        """The box."""
        return self.face

    def fit_screen(self) -> None:
        """Take the room that the versions need."""
        size = self.screen.size
        width = min(size.width - 4, 110)
        height = min(
            len(self._lines(width - 4)) + len(wrap(self._question, width - 4)) + 6, size.height - 4
        )
        self.face.styles.height = height
        self.centre(width, height)

    def _lines(self, width: int) -> list[Line]:
        out: list[Line] = []
        for name, before, theirs, mine in self._fields:
            out.append(
                [
                    (name, "strong"),
                    (
                        "   both changed it"
                        if theirs not in (before, mine) and mine != before
                        else "",
                        "warn",
                    ),
                ]
            )
            for label, text, style in (
                ("was", before, "dim"),
                ("theirs", theirs, "accent"),
                ("mine", mine, "text"),
            ):
                for index, line in enumerate(wrap(text or "(empty)", max(width - 10, 10))[:6]):
                    out.append([(f"  {label if not index else '':<8}", "dim"), (line, style)])
        return out

    def _draw(self, width: int, height: int) -> list[Line]:
        head: list[Line] = [[(text, "strong")] for text in wrap(self._question, width - 4)]
        lines = self._lines(width - 4)
        room = max(height - 2 - len(head) - 3, 1)
        self._top = max(min(self._top, len(lines) - room), 0)
        more = len(lines) - room - self._top
        buttons: Line = []
        for index, (title, _) in enumerate(self._answers):
            buttons += [(f" {title} ", "tabon" if index == self._at else "tab"), ("  ", "text")]
        buttons.append(("t theirs  m mine", "faint"))
        shown = lines[self._top : self._top + room]
        body = [*head, [], *shown, *([[]] * (room - len(shown))), [], buttons]
        right: Line = [(f"{more} more ↓", "dim")] if more > 0 else []
        return box(body, [("somebody was quicker", "warn")], right, width, height, "warn")

    def on_key(self, event: events.Key) -> None:
        """Left and right choose, enter does what is chosen, t and m answer at once, up and down scroll."""
        event.stop()
        event.prevent_default()
        key = event.key
        steps = {"down": 1, "j": 1, "up": -1, "k": -1, "pagedown": 10, "pageup": -10}
        turns = {"right": 1, "tab": 1, "l": 1, "left": -1, "shift+tab": -1, "h": -1}
        if key in steps:
            self._top = max(self._top + steps[key], 0)
        elif key in turns:
            self._at = (self._at + turns[key]) % len(self._answers)
        elif key in ("escape", "ctrl+q", "n") or (key == "enter" and not self._at):
            self.close()
        elif key in ("t", "m", "enter"):
            chosen = {"t": 1, "m": 2}.get(key, self._at)
            self.close()
            then = self._answers[chosen][1]
            if then is not None:
                then()
        self.face.redraw()
