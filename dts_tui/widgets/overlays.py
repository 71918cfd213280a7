"""What lies over a screen for a moment: questions, pickers, texts. Mounted on the same screen, so nothing waits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input

from dts_core.plain.cells import cells, pad
from dts_tui.draw import Line, box, fit, pairs, spread, wrap
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.entry import Entry

if TYPE_CHECKING:
    from dts_tui.app import Console


class Overlay(Vertical):
    """Lies over the screen until it is answered; `esc` leaves it without an answer."""

    DEFAULT_CSS = """
    Overlay { layer: overlay; height: auto; background: $surface; }
    Overlay Input { border: none; height: 1; padding: 0 1; background: $surface; }
    """
    KEYS: ClassVar[Sequence[tuple[str, str]]] = (("esc", "leaves"),)
    """Key and what it does, for the footer: those of the screen below do nothing now."""

    def on_mount(self) -> None:
        """It stands, and has the keys."""
        self.fit_screen()
        self.screen.set_focus(self.first())
        self.console.opened(self)

    def fit_screen(self) -> None:
        """Take the room that it needs; again whenever the terminal has another size."""
        raise NotImplementedError

    def first(self) -> Widget:
        """What gets the keys."""
        raise NotImplementedError

    def centre(self, width: int, height: int) -> None:
        """Take this room in the middle of the screen."""
        size = self.screen.size
        self.styles.width = width
        self.styles.offset = (
            max((size.width - width) // 2, 0),
            max((size.height - height) // 2, 0),
        )

    def close(self) -> None:
        """Take it away."""
        self.console.close_overlay()

    @property
    def console(self) -> "Console":
        """The app, by its own type."""
        return cast("Console", self.app)


class Face(Drawn):
    """What an overlay draws of itself; it can have the keys."""

    can_focus = True
    DEFAULT_CSS = "Face { height: 1fr; }"

    def __init__(self, make: Callable[[int, int], list[Line]]) -> None:
        super().__init__()
        self._make = make

    def draw(self, width: int, height: int) -> list[Line]:
        return self._make(width, height)


@dataclass(frozen=True)
class Choice:
    """One line of a picker."""

    name: str
    title: str
    detail: str = ""
    key: str = ""
    why_not: str = ""
    """Why it cannot be chosen now; it is shown dim."""


_DETAIL_LINES = 3
"""Lines of a picker below its list, for what does not fit into the line under the cursor: one empty, two of text."""


def _detail(choice: Choice, width: int) -> list[Line]:
    text = ". ".join(filter(None, (choice.why_not, choice.detail)))
    return [[], *([(line, "dim")] for line in wrap(text, width)[: _DETAIL_LINES - 1])]


class Picker(Overlay):
    """A list that shrinks as one types; enter takes the line under the cursor.

    Args:
        title: In the frame.
        choices: All lines.
        then: Called with the name of the one taken.
        stays: Whether it stays open after one was taken (for switches).
    """

    KEYS = (("↑ ↓", "move"), ("enter", "takes it"), ("esc", "leaves"))

    def __init__(
        self,
        title: str,
        choices: Callable[[], list[Choice]],
        then: Callable[[str], None],
        *,
        stays: bool = False,
    ) -> None:
        super().__init__()
        self._title, self._choices, self._then, self._stays = title, choices, then, stays
        self._at = self._top = 0
        self._wanted = ""
        self.face = Face(self._draw)

    def compose(self) -> ComposeResult:
        """Where one types, and the list."""
        yield Entry(hint="type to find, enter takes it, esc leaves")
        yield self.face

    def first(self) -> Widget:
        """Where one types."""
        return self.query_one(Input)

    def fit_screen(self) -> None:
        """Nearly as large as the screen."""
        size = self.screen.size
        height = min(max(size.height - 6, 6), len(self._choices()) + 2 + _DETAIL_LINES, 34)
        self.face.styles.height = height
        self.centre(min(size.width - 4, 100), height + 1)

    def found(self) -> list[Choice]:
        """What fits what was typed: every word somewhere, beginnings first."""
        words = self._wanted.casefold().split()
        hits = [
            choice
            for choice in self._choices()
            if all(
                word in f"{choice.name} {choice.title} {choice.detail} {choice.key}".casefold()
                for word in words
            )
        ]
        if words:
            first = words[0]
            hits.sort(
                key=lambda choice: (self._wanted != choice.key, first not in choice.name.casefold())
            )
        return hits

    def _draw(self, width: int, height: int) -> list[Line]:
        hits = self.found()
        room = max(height - 2 - _DETAIL_LINES, 1)
        self._at = max(min(self._at, len(hits) - 1), 0)
        self._top = max(min(self._top, self._at), self._at - room + 1)
        keys = max((cells(choice.key) for choice in hits), default=0)
        names = min(max((cells(choice.title) for choice in hits), default=0), 26)
        body: list[Line] = []
        for index, choice in enumerate(hits[self._top : self._top + room], self._top):
            line: Line = [
                (pad(choice.key, keys) + "  ", "faint" if choice.why_not else "key"),
                (pad(choice.title, names) + "  ", "faint" if choice.why_not else "text"),
                (choice.why_not or choice.detail, "faint" if choice.why_not else "dim"),
            ]
            line = fit(line, width - 4)
            body.append(
                [(text, f"{name}/cursor") for text, name in line] if index == self._at else line
            )
        if not hits:
            body.append([("nothing fits", "dim")])
        body += [[]] * (room - len(body))
        body += _detail(hits[self._at], width - 4) if hits else []
        return box(
            body, [(self._title, "title")], [(f"{len(hits)}", "dim")], width, height, "focus"
        )

    def on_input_changed(self, event: Input.Changed) -> None:
        """Fewer letters, more lines."""
        event.stop()
        self._wanted, self._at = event.value, 0
        self.face.redraw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the line under the cursor."""
        event.stop()
        self._take()

    def _take(self) -> None:
        hits = self.found()
        if not hits or hits[self._at].why_not:
            return
        if not self._stays:
            self.close()
        self._then(hits[self._at].name)
        if self._stays:
            self.face.redraw()

    def on_click(self, event: events.Click) -> None:
        """A click takes a line."""
        if event.widget is self.face and 0 < event.y < self.face.size.height - 1:
            self._at = self._top + event.y - 1
            self._take()

    def on_key(self, event: events.Key) -> None:
        """Up and down move; the rest is typing."""
        steps = {"down": 1, "up": -1, "ctrl+n": 1, "ctrl+p": -1, "pagedown": 10, "pageup": -10}
        if event.key == "escape":
            self.close()
        elif event.key in steps:
            self._at += steps[event.key]
            self.face.redraw()
        else:
            return
        event.stop()
        event.prevent_default()


class Reader(Overlay):
    """A text over the screen, scrolled with the usual keys.

    Args:
        title: In the frame.
        make: Its lines, for a width.
        live: Whether it is made anew every second.
        least: Lines that it has room for, however few there are at first.
    """

    KEYS = (("j k", "move"), ("esc", "closes"))

    def __init__(
        self,
        title: str,
        make: Callable[[int], list[Line]],
        *,
        live: bool = False,
        least: int = 0,
    ) -> None:
        super().__init__()
        self._least = least
        self._title, self._make, self._live = title, make, live
        self._top = self._count = 0
        self.face = Face(self._draw)

    def compose(self) -> ComposeResult:
        """Only the text."""
        yield self.face

    def on_mount(self) -> None:
        """Live, once a second."""
        if self._live:
            self.set_interval(1.0, self.face.redraw)

    def first(self) -> Widget:
        """The text."""
        return self.face

    def fit_screen(self) -> None:
        """Nearly as large as the screen."""
        size = self.screen.size
        width = min(size.width - 4, 120)
        height = min(max(len(self._make(width - 4)), self._least) + 2, size.height - 4)
        self.face.styles.height = height
        self.centre(width, height)

    def _draw(self, width: int, height: int) -> list[Line]:
        lines = self._make(width - 4)
        self._count, room = len(lines), height - 2
        self._top = max(min(self._top, self._count - room), 0)
        more = self._count - room - self._top
        right: Line = [(f"{more} more ↓" if more > 0 else "esc closes", "dim")]
        return box(
            lines[self._top : self._top + room],
            [(self._title, "title")],
            right,
            width,
            height,
            "focus",
        )

    def on_key(self, event: events.Key) -> None:
        """Move, or leave."""
        event.stop()
        event.prevent_default()
        steps = {
            "down": 1, "j": 1, "up": -1, "k": -1, "pagedown": 10, "pageup": -10, "ctrl+d": 10, "ctrl+u": -10,
            "home": -10**6, "g": -10**6, "end": 10**6, "G": 10**6, "space": 10,
        }  # fmt: skip
        if event.key in steps:
            self._top = max(self._top + steps[event.key], 0)
            self.face.redraw()
        else:
            self.close()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel scrolls."""
        event.stop()
        self._top += 3
        self.face.redraw()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel scrolls."""
        event.stop()
        self._top = max(self._top - 3, 0)
        self.face.redraw()


__all__ = ["Choice", "Overlay", "Picker", "Reader", "pairs", "spread"]
