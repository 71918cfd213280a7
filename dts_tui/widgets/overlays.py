"""What lies over a screen for a moment: questions, pickers, texts. Mounted on the same screen, so nothing waits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from dts_core.plain.cells import cells, cut, pad
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

    def on_mount(self) -> None:
        """It stands: Textual calls this after the same of what is made from it."""
        self.console.opened(self)

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


class _Face(Drawn):
    can_focus = True
    DEFAULT_CSS = "_Face { height: 1fr; }"

    def __init__(self, make: Callable[[int, int], list[Line]]) -> None:
        super().__init__()
        self._make = make

    def draw(self, width: int, height: int) -> list[Line]:
        return self._make(width, height)


class Confirm(Overlay):
    """A question before something that cannot be taken back. Cancel is the default.

    Args:
        question: What will be done, to how many.
        names: What it will hit, each by name.
        yes: The word for doing it.
        then: Called when it is confirmed.
        typed: When not empty, this has to be typed.
    """

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
        self._on_yes = False
        self._wrong = False
        self.face = _Face(self._draw)

    def compose(self) -> ComposeResult:
        """The box, and the line for the name when one has to be typed."""
        yield self.face
        if self._typed:
            yield Entry(hint=f"type {self._typed} to confirm")

    def on_mount(self) -> None:
        """Take the room that the names need, and the keys."""
        width = min(max(self.screen.size.width - 8, 40), 76)
        shown = min(len(self._names), 8) + (len(self._names) > 8)
        asked = len(wrap(self._question, width - 4))
        height = asked + shown + 6
        self.face.styles.height = height
        self.centre(width, height + bool(self._typed))
        self.screen.set_focus(self.query_one(Input) if self._typed else self.face)

    def _draw(self, width: int, height: int) -> list[Line]:
        body: list[Line] = [[]]
        body += [[(text, "strong")] for text in wrap(self._question, width - 4)]
        body += [[("  " + cut(name, width - 8), "accent")] for name in self._names[:8]]
        if len(self._names) > 8:
            body.append([(f"  and {len(self._names) - 8} more", "dim")])
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
        self.face = _Face(self._draw)

    def compose(self) -> ComposeResult:
        """Where one types, and the list."""
        yield Entry(hint="type to find, enter takes it, esc leaves")
        yield self.face

    def on_mount(self) -> None:
        """Nearly as large as the screen."""
        size = self.screen.size
        height = min(max(size.height - 6, 6), len(self._choices()) + 2 + _DETAIL_LINES, 34)
        self.face.styles.height = height
        self.centre(min(size.width - 4, 100), height + 1)
        self.screen.set_focus(self.query_one(Input))

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
        self.face = _Face(self._draw)

    def compose(self) -> ComposeResult:
        """Only the text."""
        yield self.face

    def on_mount(self) -> None:
        """Nearly as large as the screen."""
        size = self.screen.size
        width = min(size.width - 4, 120)
        height = min(max(len(self._make(width - 4)), self._least) + 2, size.height - 4)
        self.face.styles.height = height
        self.centre(width, height)
        self.screen.set_focus(self.face)
        if self._live:
            self.set_interval(1.0, self.face.redraw)

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


__all__ = ["Choice", "Confirm", "Overlay", "Picker", "Reader", "pairs", "spread"]
