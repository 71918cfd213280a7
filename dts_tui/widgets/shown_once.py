"""A secret that is shown once: copied by a key, in no picture, gone with the box."""

from textual import events
from textual.app import ComposeResult
from textual.widget import Widget

from dts_tui.draw import Line, box, wrap
from dts_tui.widgets.overlays import Face, Overlay

WIDTH_MOST = 90


class ShownOnce(Overlay):
    """Shows a secret until it is closed.

    Args:
        title: In the frame.
        told: What it is, and what to do with it.
        secret: Drawn as dots while a picture is made.
    """

    def __init__(self, title: str, told: str, secret: str) -> None:
        super().__init__()
        self._title, self._told, self._secret = title, told, secret
        self._copied = False
        self.face = Face(self._draw)

    def compose(self) -> ComposeResult:
        """Only the box."""
        yield self.face

    def first(self) -> Widget:
        """The box."""
        return self.face

    def fit_screen(self) -> None:
        """Take the room that it needs."""
        width = min(self.screen.size.width - 4, WIDTH_MOST)
        height = len(wrap(self._told, width - 4)) + len(wrap(self._secret, width - 4)) + 6
        self.face.styles.height = height
        self.centre(width, height)

    def _draw(self, width: int, height: int) -> list[Line]:
        hidden = self.console.is_pictured
        secret = "•" * len(self._secret) if hidden else self._secret
        body: list[Line] = [[(text, "text")] for text in wrap(self._told, width - 4)]
        body += [[], *([(text, "strong")] for text in wrap(secret, width - 4)), []]
        done: Line = [("✓ copied  ", "good")] if self._copied else []
        body.append(
            [*done, ("y", "key"), (" copies it  ", "dim"), ("esc", "key"), (" closes", "dim")]
        )
        return box(body, [(self._title, "warn")], [], width, height, "warn")

    def on_key(self, event: events.Key) -> None:
        """Copy or close; any other key does nothing, so that nobody loses it by a slip."""
        event.stop()
        event.prevent_default()
        if event.key == "y":
            self.console.copy_to_clipboard(self._secret)
            self._copied = True
            self.face.redraw()
        elif event.key == "escape":
            self._secret = ""
            self.close()
