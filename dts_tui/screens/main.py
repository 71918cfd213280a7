"""The one Textual screen: the frame, the body, what lies over it, and the way of a key."""

from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Input, TextArea

from dts_tui.widgets.frame import Areas, Footer, Gone, Header, TooSmall
from dts_tui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from dts_tui.app import Console

WIDTH_MIN, HEIGHT_MIN = 60, 15


class Main(Screen[None]):
    """Header, areas, body, footer."""

    CSS = """
    Main { layers: base overlay; align: center middle; background: $background; overflow: hidden; }
    #body { height: 1fr; width: 1fr; }
    """
    AUTO_FOCUS = ""

    def compose(self) -> ComposeResult:
        """The frame around an empty body."""
        yield Header()
        yield Areas()
        yield Gone()
        yield Container(id="body")
        yield Prompt()
        yield Footer()
        yield TooSmall()

    def on_mount(self) -> None:
        """The frame stands."""
        self.console.started()

    @property
    def console(self) -> "Console":
        """The app, by its own type."""
        return cast("Console", self.app)

    def on_resize(self, event: events.Resize) -> None:
        """Below the smallest size there is one line, and nothing else."""
        small = event.size.width < WIDTH_MIN or event.size.height < HEIGHT_MIN
        too_small = self.query_one(TooSmall)
        if too_small.display is not small:
            too_small.display = small
            for selector in ("Header", "Areas", "#body", "Footer"):
                self.query_one(selector).display = not small
            if not small and self.console.overlay is None:
                self.call_after_refresh(self.console.give_focus)
        if self.console.overlay is not None and self.console.overlay.is_mounted:
            self.console.overlay.fit_screen()

    def on_key(self, event: events.Key) -> None:
        """Every key that the focused widget left goes through the registry."""
        if self.console.overlay is not None:
            if event.key == "escape":
                self.console.close_overlay()
                event.stop()
            return
        prompt = self.query_one(Prompt)
        if prompt.display:
            if event.key == "escape":
                event.stop()
                self.console.close_prompt()
            return
        key = (
            event.character
            if event.is_printable and event.character and event.character != " "
            else event.key
        )
        action = self.console.registry.by_key(key, self.console.scope)
        if action is None:
            return
        if isinstance(self.focused, Input | TextArea) and not action.typing:
            read_only = isinstance(self.focused, TextArea) and self.focused.read_only
            if not read_only:
                return
        event.stop()
        event.prevent_default()
        self.console.run_named(action.name)
