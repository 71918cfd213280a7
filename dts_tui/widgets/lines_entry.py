"""Texts of several lines in a form: shown and edited, or secret and only pasted."""

from typing import Final

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from dts_core.plain import words
from dts_tui.draw import Line
from dts_tui.widgets.drawn import Drawn

LINES_SHOWN: Final = 4
SECRET_MAX: Final = 1 << 20
"""Most characters that are kept of what is pasted."""


class LinesEntry(TextArea):
    """A text of several lines; tab leaves it, and so do up and down at its ends."""

    DEFAULT_CSS = """
    LinesEntry { height: 4; width: 1fr; padding: 0 1; background: $surface; scrollbar-size-vertical: 1; }
    LinesEntry:focus { background: $primary 20%; }
    """

    def __init__(self, text: str) -> None:
        super().__init__(
            text,
            soft_wrap=True,
            tab_behavior="focus",
            show_line_numbers=False,
            highlight_cursor_line=False,
        )
        self.cursor_blink = False

    def leaves(self, key: str) -> bool:
        """Whether this key goes to another field from here."""
        row = self.cursor_location[0]
        if key == "up":
            return row == 0
        if key == "down":
            return row >= self.document.line_count - 1
        return key in ("tab", "shift+tab")


class SecretLines(Drawn):
    """A secret of several lines: it is pasted, and only its size is ever shown."""

    can_focus = True
    DEFAULT_CSS = "SecretLines { width: 1fr; height: 1; }"

    class Changed(Message):
        """Other content."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def draw(self, width: int, height: int) -> list[Line]:
        """How much there is, never what."""
        here = "tabon" if self.has_focus else "dim"
        if not self.text:
            return [[(" paste it here ", here)]]
        lines = self.text.strip("\n").count("\n") + 1
        told = f" •••• {words.plural(lines, 'line')}, {words.plural(len(self.text), 'character')} "
        return [[(told, "tabon" if self.has_focus else "strong"), ("  ctrl+u empties", "faint")]]

    def on_focus(self) -> None:
        """It shows that it has the keys."""
        self.redraw()

    def on_blur(self) -> None:
        """And that it has not."""
        self.redraw()

    def on_paste(self, event: events.Paste) -> None:
        """Pasted lines are kept as they are."""
        event.stop()
        event.prevent_default()
        self._take(self.text + event.text.replace("\r\n", "\n").replace("\r", "\n"))

    def on_key(self, event: events.Key) -> None:
        """Typed letters count too: a terminal without bracketed paste sends them; no action runs by them."""
        if event.key == "ctrl+u":
            self._take("")
        elif event.key == "backspace":
            self._take(self.text[:-1])
        elif event.key == "enter" and self.text:
            self._take(self.text + "\n")
        elif event.is_printable and event.character:
            self._take(self.text + event.character)
        else:
            return
        event.stop()
        event.prevent_default()

    def _take(self, text: str) -> None:
        self.text = text[:SECRET_MAX]
        self.redraw()
        self.post_message(self.Changed())
