"""The base of what has more lines than are seen: keys and the wheel move it in the same way."""

from textual import events

from dts_tui.widgets.drawn import Drawn

WHEEL_LINES = 3


class Scrolling(Drawn):
    """A panel that takes the keys and moves by line."""

    can_focus = True

    @property
    def page(self) -> int:
        """Lines that are seen at once; at least 1."""
        raise NotImplementedError

    def move(self, by: int) -> None:
        """Move by so many lines, down where positive, stopping at the ends."""
        raise NotImplementedError

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel moves it."""
        event.stop()
        self.move(WHEEL_LINES)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel moves it."""
        event.stop()
        self.move(-WHEEL_LINES)
