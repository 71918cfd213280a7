"""A page with a head, a line of tabs, and one content at a time."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.widget import Widget

from dts_core.plain.cells import cells
from dts_tui.draw import Line, fit
from dts_tui.screens.base import Place, View
from dts_tui.widgets.drawn import Drawn


class _Head(Drawn):
    def __init__(self, page: "Tabbed") -> None:
        super().__init__()
        self._page = page

    def draw(self, width: int, height: int) -> list[Line]:
        return self._page.head(width)


class _Tabs(Drawn):
    DEFAULT_CSS = "_Tabs { height: 1; }"

    def __init__(self, page: "Tabbed") -> None:
        super().__init__()
        self._page = page
        self._spots: list[tuple[int, int, str]] = []

    def draw(self, width: int, height: int) -> list[Line]:
        out: Line = [(" ", "text")]
        self._spots = []
        at = 1
        for name, title in self._page.tabs():
            label = f" {title} "
            self._spots.append((at, at + cells(label), name))
            at += cells(label) + 1
            out += [(label, "tabon" if name == self._page.tab else "tab"), (" ", "text")]
        return [fit([*out, ("  tab next", "faint")], width)]

    def on_click(self, event: events.Click) -> None:
        for start, end, name in self._spots:
            if start <= event.x < end:
                self._page.open_tab(name)


class Tabbed(View):
    """A page of one thing.

    `content` makes the widget of a tab; it is made when the tab opens and removed when it
    closes.
    """

    HEAD_LINES: ClassVar[int] = 3

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.tab = place.part
        self._head = _Head(self)
        self._tabs = _Tabs(self)
        self._content: Widget | None = None
        self._shown = ""

    def compose(self) -> ComposeResult:
        """Head, tabs, content."""
        self._head.styles.height = self.HEAD_LINES
        yield self._head
        yield self._tabs
        yield Container(id="content")

    def tabs(self) -> list[tuple[str, str]]:
        """Name and title of each tab."""
        raise NotImplementedError

    def head(self, width: int) -> list[Line]:
        """What stands above the tabs."""
        raise NotImplementedError

    def content(self, tab: str) -> Widget:
        """A new widget for a tab."""
        raise NotImplementedError

    def tab_opened(self, tab: str) -> None:
        """The tab's content is mounted: fill it."""

    def tab_closed(self, tab: str) -> None:
        """The tab's content is about to go: stop its work."""

    def main(self) -> Widget | None:
        """The content gets the keys."""
        return self._content

    def left(self) -> None:
        """Stop the tab's work."""
        if self._shown:
            self.tab_closed(self._shown)

    def redraw_head(self) -> None:
        """The head's figures changed."""
        self._head.redraw()
        self._tabs.redraw()

    def open_tab(self, name: str) -> None:
        """Show a tab."""
        names = [each for each, _ in self.tabs()]
        name = name if name in names else names[0]
        if name == self._shown and self._content is not None:
            return
        if self._shown:
            self.tab_closed(self._shown)
        holder = self.query_one("#content", Container)
        old, self._content = self._content, self.content(name)
        self.tab = self._shown = name
        self.place = self.place._replace(part=name)
        if old is not None:
            old.remove()
        holder.mount(self._content)
        self._tabs.redraw()
        self.call_next(self._settled, name)

    def _settled(self, name: str) -> None:
        if name != self._shown or self._content is None:
            return
        if self.console.view is self and not self.console.prompt.display:
            self._content.focus()
        self.tab_opened(name)
        self.console.scope_changed()

    def _turn(self, by: int) -> None:
        names = [name for name, _ in self.tabs()]
        at = names.index(self.tab) if self.tab in names else 0
        self.open_tab(names[(at + by) % len(names)])

    def do_next_tab(self) -> None:
        """The next tab."""
        self._turn(1)

    def do_previous_tab(self) -> None:
        """The tab before."""
        self._turn(-1)
