"""The base of everything that is drawn: lines of styled text in, strips out, cleaned on the way."""

from typing import TYPE_CHECKING, cast

from rich.segment import Segment
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from dts_core.text import is_safe
from dts_tui.draw import Line, fit, width_of
from dts_tui.safe import whole

if TYPE_CHECKING:
    from dts_tui.app import Console


class Drawn(Widget):
    """A widget that is a function of its state: `draw` returns its lines, and is called once a change.

    Hidden ones are never drawn. Text is cleaned here whatever it is, so that no caller can forget to.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    Drawn { width: 1fr; height: 1fr; }
    """

    stale = False
    """Whether the data is old: everything is drawn dim."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes, markup=False)
        self._strips: list[Strip] | None = None

    @property
    def console(self) -> "Console":
        """The app, by its own type."""
        return cast("Console", self.app)

    def draw(self, width: int, height: int) -> list[Line]:
        """The lines of this widget, at most `height`; each is cut or padded to `width`."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Something changed: draw again at the next frame."""
        self._strips = None
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        """Another size is another drawing."""
        del event
        self._strips = None

    def notify_style_update(self) -> None:
        """Another theme is another drawing."""
        self._strips = None
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        """One line of the drawing."""
        if self._strips is None:
            self._strips = self._strips_now()
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.console.palette["text"])

    def _strips_now(self) -> list[Strip]:
        width, height = self.size
        if not width or not height:
            return []
        try:
            lines = self.draw(width, height)[:height]
        except Exception as error:  # noqa: BLE001 - one panel that cannot be drawn must not take the console with it
            lines = [[(f" this cannot be shown: {type(error).__name__}: {error}", "bad")]]
        return [self._strip(line, width) for line in lines]

    def _strip(self, line: Line, width: int) -> Strip:
        if width_of(line) > width:
            line = fit(line, width)
        palette = self.console.palette
        suffix = "/stale" if self.stale else ""
        segments = [
            Segment(
                text if is_safe(text) else whole(text),
                palette[name + suffix if suffix and "/" not in name else name],
            )
            for text, name in line
            if text
        ]
        strip = Strip(segments).simplify()
        if strip.cell_length != width:
            strip = strip.adjust_cell_length(width, palette["text"])
        return strip
