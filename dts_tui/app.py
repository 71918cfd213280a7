"""The console: where one is, what a key does, who works in the background."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from textual.app import App
from textual.containers import Container
from textual.css.query import NoMatches
from textual.filter import LineFilter
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from dts_core.clock import Clock, SystemClock
from dts_core.errors import DtsError, ServerUnreachable
from dts_core.settings import TuiFile
from dts_core.text import clean
from dts_tui import everywhere, themes
from dts_tui.actions import Registry, allowed
from dts_tui.catalogue import AREAS
from dts_tui.feed import Feed
from dts_tui.messages import JobsChanged, LinesCame, Notice, WorldChanged
from dts_tui.safe import CleanFilter
from dts_tui.screens.base import Place, View
from dts_tui.screens.main import Main
from dts_tui.state import Trail, World
from dts_tui.widgets.frame import Areas, Footer, Gone, Header
from dts_tui.widgets.overlays import Overlay
from dts_tui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from textual.widget import AwaitMount

    from dts_core.clients import AdminClient

T = TypeVar("T")
NOTICE_SECONDS = 6.0


class Console(App[None]):
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
        self.notices: deque[tuple[datetime, str, str]] = deque(maxlen=100)
        self._areas: dict[str, View] = {}
        self._view: View | None = None
        start = area or self.settings.console.start
        self._start = start if start in AREAS else "wall"
        self._notice_until = 0.0
        self._quit_asked = 0.0

    # --- start and end --------------------------------------------------------------------------

    @staticmethod
    def _known_theme(name: str) -> str:
        return name if name in themes.NAMES else "dark"

    def get_default_screen(self) -> Screen[Any]:
        """The one screen."""
        return Main(id="_default")

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's own filters, and behind them the backstop against controls."""
        return [*super().get_line_filters(), self._guard]

    def started(self) -> None:
        """The frame stands: paint first, then talk to the server."""
        self.go(Place(self._start))
        self.set_interval(1.0, self._tick)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self.background(self.feed.poll, "poll")

    async def on_unmount(self) -> None:
        """Close what is open."""
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
        body = self.screen_stack[0].query_one("#body", Container)
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
        try:
            view.entered()
        except Exception as error:  # noqa: BLE001 - a defect in one screen must not end the console
            self.notice(f"{view.area}: {type(error).__name__}: {error}", "bad")
        target = view.main()
        if target is not None and not self.screen_stack[0].query(Overlay):
            target.focus()
        self.scope_changed()

    def scope_changed(self) -> None:
        """Other keys count now: the frame says so."""
        self._redraw(Areas, Footer)

    def _redraw(self, *kinds: type[Header] | type[Areas] | type[Footer] | type[Gone]) -> None:
        try:
            for kind in kinds:
                self.screen_stack[0].query_one(kind).redraw()
        except (NoMatches, IndexError):
            return

    # --- what a key does ------------------------------------------------------------------------

    def why_not(self, name: str) -> str:
        """Why an action cannot be done now; empty when it can."""
        return allowed(
            self.registry[name], role=self.world.role, read_only=self.read_only,
            connected=self.world.connection.up is True,
        )  # fmt: skip

    def run_named(self, name: str) -> None:
        """Run an action by its name; one that cannot be done says why. Never raises."""
        self._clear_notice()
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
        for old in self.screen_stack[0].query(Overlay):
            old.remove()
        self.screen_stack[0].mount(overlay)

    def close_overlay(self) -> None:
        """Take it away and give the keys back."""
        for old in self.screen_stack[0].query(Overlay):
            old.remove()
        self.give_focus()

    @property
    def prompt(self) -> Prompt:
        """The line where commands and filters are typed."""
        return self.screen_stack[0].query_one(Prompt)

    def close_prompt(self) -> None:
        """Fold it away and give the keys back."""
        self.prompt.close()
        self.give_focus()

    def give_focus(self) -> None:
        """The keys go to the screen that is seen."""
        target = self._view.main() if self._view else None
        if target is not None:
            target.focus()

    # --- notices --------------------------------------------------------------------------------

    def notice(self, text: str, kind: str = "good") -> None:
        """Show one line for a few seconds; it is kept under `:notices`."""
        text = clean(text, 400)
        self.notices.append((self.now(), text, kind))
        self._notice_until = time.monotonic() + NOTICE_SECONDS * (2 if kind == "bad" else 1)
        self._show_notice((text, kind))

    def _clear_notice(self) -> None:
        if self._notice_until:
            self._notice_until = 0.0
            self._show_notice(None)

    def _show_notice(self, notice: tuple[str, str] | None) -> None:
        try:
            footer = self.screen_stack[0].query_one(Footer)
        except (NoMatches, IndexError):
            return
        footer.notice = notice
        footer.redraw()

    # --- in the background ----------------------------------------------------------------------

    def background(self, work: Callable[[], Coroutine[Any, Any, Any]], group: str) -> "Worker[Any]":
        """Run something until it ends; a later one of the same group takes its place."""
        return self.run_worker(work, group=group, exclusive=True, exit_on_error=False)

    def stop_background(self, group: str) -> None:
        """End what runs under this group."""
        self.workers.cancel_group(self, group)

    def ask(
        self,
        view: View,
        key: str,
        make: "Callable[[AdminClient], Awaitable[T]]",
        then: Callable[[T], None],
        *,
        failed: Callable[[DtsError], None] | None = None,
        writes: bool = False,
    ) -> None:
        """Call the server for a screen; the answer is dropped when that screen is gone by then."""

        async def work() -> None:
            try:
                answer = await self.feed.call(make, writes=writes)
            except DtsError as error:
                if failed is not None:
                    failed(error)
                elif writes or not isinstance(error, ServerUnreachable):
                    self.notice(str(error), "bad")
                return
            if view.is_attached:
                then(answer)

        self.background(work, f"{id(view)}:{key}")

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """A defect in background work is shown and noted, never fatal; the poll starts again."""
        if event.state is not WorkerState.ERROR:
            return
        error = event.worker.error
        self.notice(f"a part of the console failed: {type(error).__name__}: {error}", "bad")
        if event.worker.group == "poll":
            self.set_timer(2.0, self._begin)

    # --- news -----------------------------------------------------------------------------------

    def on_world_changed(self, message: WorldChanged) -> None:
        """Show it where it is seen."""
        del message
        up = self.world.connection.up
        try:
            gone = self.screen_stack[0].query_one(Gone)
        except (NoMatches, IndexError):
            return
        gone.display = up is False
        self._redraw(Header, Gone, Footer)
        self._tell(lambda view: view.world_changed())

    def on_jobs_changed(self, message: JobsChanged) -> None:
        """Hand changed jobs to the screen that is seen."""
        self._tell(lambda view: view.jobs_changed(message.jobs, message.missed))

    def on_lines_came(self, message: LinesCame) -> None:
        """Hand log lines to the screen that asked for them."""
        from dts_tui.widgets.log import LogView

        for log in self.screen_stack[0].query(LogView):
            if log.owner == message.owner:
                log.take(message.lines, message.dropped, missed=message.missed)

    def on_notice(self, message: Notice) -> None:
        """Show it."""
        self.notice(message.text, message.kind)

    def _tick(self) -> None:
        if self._notice_until and time.monotonic() > self._notice_until:
            self._clear_notice()
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

    def use_theme(self, name: str) -> None:
        """Change the colours of everything."""
        self.palette = themes.palette(self._known_theme(name))
        self.theme = self._known_theme(name)
        for widget in self.screen_stack[0].walk_children():
            redraw = getattr(widget, "redraw", None)
            if redraw is not None:
                redraw()
