"""The console: where one is, what a key does, who works in the background."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import events
from textual.containers import Container
from textual.filter import LineFilter
from textual.screen import Screen

from dts_core.clock import Clock, SystemClock
from dts_core.settings import TuiFile
from dts_core.text import clean
from dts_tui import everywhere, themes
from dts_tui.actions import Registry, allowed
from dts_tui.ahead import TypeAhead
from dts_tui.background import Background
from dts_tui.catalogue import AREAS
from dts_tui.feed import Feed
from dts_tui.messages import JobsChanged, LinesCame, Notice, WorldChanged
from dts_tui.notices import Notices
from dts_tui.safe import CleanFilter
from dts_tui.screens.base import Place, View
from dts_tui.screens.main import Main
from dts_tui.state import Trail, World
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.frame import Areas, Footer, Gone, Header
from dts_tui.widgets.overlays import Overlay
from dts_tui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from textual.widget import AwaitMount

    from dts_core.clients import AdminClient

AWAITED_SECONDS = 1.0
"""What is typed waits no longer for a form whose fields the server has not told yet."""


class Console(Background):
    """The console on one server.

    Args:
        connect: Makes a client; blocking, called in a thread, again after the server was lost.
        settings: tui.toml.
        server: What to call the server in the header.
        read_only: Refuse every write.
        area: The area that opens first; empty: as set.
        ascii_only: Draw with ASCII only.
    """

    TITLE = "dts"
    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    CSS = """
    Input, Input:focus, Input.-invalid, Input.-invalid:focus {
        border: none; height: 1; padding: 0 1; color: $foreground; background: $surface;
    }
    Prompt Input, Prompt Input:focus { padding: 0; background: $background; }
    FieldRow Input:focus { background: $input-selection-background; }
    TextArea, TextArea:focus { border: none; padding: 0; background: $background; }
    """

    def __init__(
        self,
        connect: "Callable[[], AdminClient]",
        *,
        settings: TuiFile | None = None,
        server: str = "",
        read_only: bool = False,
        area: str = "",
        ascii_only: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings or TuiFile()
        self.read_only = read_only or self.settings.console.read_only
        self.ascii_only = ascii_only or self.settings.console.ascii
        self.clock = clock or SystemClock()
        self.world = World()
        self.registry = Registry().remapped(self.settings.keys)
        self.server = clean(server, 60)
        self.utc = False
        self.palette = themes.palette(self.settings.console.theme)
        self._guard = CleanFilter(ascii_only=self.ascii_only)
        super().__init__()
        self.animation_level = "none"
        for theme in themes.textual_themes():
            self.register_theme(theme)
        self.theme = self._known_theme(self.settings.console.theme)
        self.feed = Feed(
            connect, self.world, self.post_message,
            read_only=self.read_only, interval=self.settings.console.refresh_seconds, clock=self.clock,
        )  # fmt: skip
        self.trail = Trail()
        self.known_functions: set[str] = set()
        self.last_used: list[str] = []
        self.drafts: dict[str, dict[str, str]] = {}
        """What was typed into forms that were left, by function; never a secret."""
        self.unsaved: dict[str, str] = {}
        """Source that was edited and not saved, by function; empty for a new one."""
        self.notices = Notices(self._show_notice)
        self.frame = Main(id="_default")
        """The one screen, also while the console ends and Textual has let go of it."""
        self.overlay: Overlay | None = None
        """What lies over the screen and takes the keys."""
        self.typed = TypeAhead(self, super().on_event)
        self._areas: dict[str, View] = {}
        self._view: View | None = None
        self._opening: View | Overlay | None = None
        start = area or self.settings.console.start
        self._start = start if start in AREAS else "wall"
        self._quit_asked = 0.0
        self.is_pictured = False
        """Whether a picture is being made: what is shown once is drawn as dots."""

    # --- start and end --------------------------------------------------------------------------

    @staticmethod
    def _known_theme(name: str) -> str:
        return name if name in themes.NAMES else "dark"

    def get_default_screen(self) -> Screen[Any]:
        """The one screen."""
        return self.frame

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's own filters, and behind them the backstop against controls."""
        return [*super().get_line_filters(), self._guard]

    def started(self) -> None:
        """The frame stands: paint first, then talk to the server."""
        self.go(Place(self._start))
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self.begin_polling)

    async def on_unmount(self) -> None:
        """Close what is open."""
        await self.typed.close()
        await self.feed.close()

    # --- time -----------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The server's time, as far as it is known, so that ages are by one clock."""
        return self.clock.now() + timedelta(seconds=self.world.skew)

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    # --- where one is ---------------------------------------------------------------------------

    @property
    def view(self) -> View | None:
        """The screen that is seen."""
        return self._view

    @property
    def area(self) -> str:
        """The area that is seen."""
        return self._view.area if self._view else ""

    @property
    def scope(self) -> str:
        """Which actions are offered now."""
        return self._view.here if self._view else ""

    def crumbs(self) -> list[str]:
        """Where one is, as a path."""
        return self._view.crumbs() if self._view else []

    def go(self, place: Place, *, record: bool = True) -> None:
        """Show a place; areas are kept, everything deeper is made anew."""
        from dts_tui.screens.places import make

        if record:
            self.trail.visit(place)
        body = self.frame.query_one("#body", Container)
        old = self._view
        mounting: AwaitMount | None = None
        if place.kind in AREAS and place.kind in self._areas:
            view = self._areas[place.kind]
            view.place = place
        else:
            view = make(place)
            if place.kind in AREAS:
                self._areas[place.kind] = view
            mounting = body.mount(view)
        if old is not None and old is not view:
            self._leave(old)
        self._view = view
        view.display = True
        self._opening = view
        self.call_next(self._enter, view, mounting)

    def _leave(self, view: View) -> None:
        view.left()
        if view.area in AREAS and self._areas.get(view.area) is view:
            view.display = False
        else:
            view.remove()

    async def _enter(self, view: View, mounting: "AwaitMount | None") -> None:
        if mounting is not None:
            await mounting
        if view is not self._view:
            return
        if view.AWAITED:
            self.set_timer(AWAITED_SECONDS, partial(self.opened, view))
        else:
            self.opened(view)
        try:
            view.entered()
        except Exception as error:  # noqa: BLE001 - a defect in one screen must not end the console
            self.notice(f"{view.area}: {type(error).__name__}: {error}", "bad")
        if self.overlay is None:
            self.give_focus()
        self.scope_changed()

    def scope_changed(self) -> None:
        """Other keys count now: the frame says so."""
        self._redraw(Areas, Footer)

    def _redraw(self, *kinds: type[Drawn]) -> None:
        for kind in kinds:
            for part in self.frame.query(kind):
                part.redraw()

    # --- what a key does ------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        """What is typed keeps its order, however fast it comes."""
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            await self.typed.take(event)
        else:
            await super().on_event(event)

    @property
    def opening(self) -> bool:
        """Whether something is being opened that will take the keys."""
        return self._opening is not None

    def opened(self, what: "View | Overlay") -> None:
        """It stands and takes the keys."""
        if self._opening is what:
            self._opening = None

    def why_not(self, name: str) -> str:
        """Why an action cannot be done now; empty when it can."""
        return allowed(
            self.registry[name], role=self.world.role, read_only=self.read_only,
            connected=self.world.connection.up is True,
        )  # fmt: skip

    def run_named(self, name: str) -> None:
        """Run an action by its name; one that cannot be done says why. Never raises."""
        self.notices.clear()
        if why := self.why_not(name):
            self.notice(f"{self.registry[name].title}: {why}", "warn")
            return
        method = "do_" + name.replace("-", "_")
        handler = getattr(self._view, method, None)
        try:
            if handler is not None:
                handler()
            elif name in AREAS:
                self.go(Place(name))
            else:
                getattr(everywhere, method, everywhere.do_nothing)(self)
        except Exception as error:  # noqa: BLE001 - a defect in one action must not end the console
            self.notice(f"{name}: {type(error).__name__}: {error}", "bad")

    async def action_help_quit(self) -> None:  # type: ignore[override]
        """ctrl+c: say how to leave; twice within two seconds leaves."""
        now = time.monotonic()
        if now - self._quit_asked < 2:
            self.exit()
        self._quit_asked = now
        self.notice("ctrl+q or :q leaves; ctrl+c again leaves now", "warn")

    # --- over the screen ------------------------------------------------------------------------

    def open_overlay(self, overlay: Overlay) -> None:
        """Lay something over the screen; it takes the keys."""
        if self.overlay is not None:
            self.overlay.remove()
        self.overlay = self._opening = overlay
        self.frame.mount(overlay)
        self._redraw(Footer)

    def close_overlay(self) -> None:
        """Take it away and give the keys back."""
        if self.overlay is not None:
            self.overlay.remove()
            self.opened(self.overlay)
        self.overlay = None
        self.give_focus()
        self._redraw(Footer)

    @property
    def prompt(self) -> Prompt:
        """The line where commands and filters are typed."""
        return self.frame.query_one(Prompt)

    def close_prompt(self) -> None:
        """Fold it away and give the keys back."""
        self.prompt.close()
        self.give_focus()

    def give_focus(self) -> None:
        """The keys go to the screen that is seen."""
        target = self._view.main() if self._view else None
        if target is not None:
            self.frame.set_focus(target)

    # --- notices --------------------------------------------------------------------------------

    def notice(self, text: str, kind: str = "good") -> None:
        """Show one line for a few seconds; it is kept under `:notices`."""
        self.notices.say(self.now(), text, kind)

    def _show_notice(self, notice: tuple[str, str] | None) -> None:
        for footer in self.frame.query(Footer):
            footer.notice = notice
        self._redraw(Footer)

    # --- news -----------------------------------------------------------------------------------

    def on_world_changed(self, message: WorldChanged) -> None:
        """Show it where it is seen."""
        del message
        up = self.world.connection.up
        for gone in self.frame.query(Gone):
            gone.display = up is False
        self._redraw(Header, Gone, Footer)
        self._tell(lambda view: view.world_changed())

    def on_jobs_changed(self, message: JobsChanged) -> None:
        """Hand changed jobs to the screen that is seen."""
        self._tell(lambda view: view.jobs_changed(message.jobs, message.missed))

    def on_lines_came(self, message: LinesCame) -> None:
        """Hand log lines to the screen that asked for them."""
        from dts_tui.widgets.log import LogView

        for log in self.frame.query(LogView):
            if log.owner == message.owner:
                log.take(message.lines, message.dropped, missed=message.missed)

    def on_notice(self, message: Notice) -> None:
        """Show it."""
        self.notice(message.text, message.kind)

    def _tick(self) -> None:
        self.notices.tick()
        self._redraw(Header)
        if self.world.connection.up is False:
            self._redraw(Gone)
        self._tell(lambda view: view.tick())

    def _tell(self, what: Callable[[View], None]) -> None:
        """Tell the screen that is seen; what it cannot bear becomes a notice."""
        if self._view is None or not self._view.is_mounted:
            return
        try:
            what(self._view)
        except Exception as error:  # noqa: BLE001 - a defect in one screen must not end the console
            self.notice(f"{self._view.area}: {type(error).__name__}: {error}", "bad")

    # --- looks ----------------------------------------------------------------------------------

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        """The screen as SVG, without what is shown once."""
        self.is_pictured = True
        self._redraw(Drawn)
        try:
            return super().export_screenshot(title=title, simplify=simplify)
        finally:
            self.is_pictured = False
            self._redraw(Drawn)

    def use_theme(self, name: str) -> None:
        """Change the colours of everything."""
        self.palette = themes.palette(self._known_theme(name))
        self.theme = self._known_theme(name)
        self._redraw(Drawn)
