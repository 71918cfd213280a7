"""What every screen is: a part of the body with a place, a scope of actions, and a subject."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeVar, cast

from textual.containers import Vertical
from textual.widget import Widget

from dts_core.errors import DtsError
from dts_core.views import JobView
from dts_tui.widgets.scrolling import Scrolling

if TYPE_CHECKING:
    from dts_core.clients import AdminClient
    from dts_tui.app import Console

T = TypeVar("T")


class Place(NamedTuple):
    """Where one can be: a kind of screen, what it shows, and which part of that."""

    kind: str
    key: str = ""
    part: str = ""


ONCE = "once"
"""Part of a place with a filter that counts only until one leaves it: the screen's own comes back."""


class View(Vertical):
    """A screen. It works only between `entered` and `left`.

    Methods named `do_<action>` are what its keys run.
    """

    scope: ClassVar[str] = ""
    area: ClassVar[str] = ""
    AWAITED: ClassVar[bool] = False
    """Whether what is typed waits until the screen says that it stands (`Console.opened`), a second at most."""
    DEFAULT_CSS = "View { width: 1fr; height: 1fr; }"

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place

    @property
    def console(self) -> "Console":
        """The app, by its own type."""
        return cast("Console", self.app)

    @property
    def here(self) -> str:
        """The scope of actions at this moment."""
        return self.scope

    def crumbs(self) -> list[str]:
        """Where one is; more than one shows as a path."""
        return [self.area.capitalize()]

    def main(self) -> Widget | None:
        """What gets the keys."""
        return None

    def entered(self) -> None:
        """It is seen now."""

    def left(self) -> None:
        """It is not seen any more: stop all work."""

    def world_changed(self) -> None:
        """The shared state has news."""

    def tick(self) -> None:
        """Once a second while it is seen: ages move."""

    def jobs_changed(self, jobs: list[JobView], missed: bool) -> None:
        """Jobs changed, as the stream says."""

    def refresh_data(self) -> None:
        """Ask the server now."""

    def subject(self) -> dict[str, str]:
        """What an action here would be about, for its command and request."""
        return {}

    def copied(self) -> str:
        """What `y` copies."""
        return ""

    def exported(self) -> list[dict[str, str]]:
        """What `x` writes: records of text."""
        return []

    def has_use(self, name: str) -> bool:
        """Whether an action has anything to do here now; the footer leaves out one that has not."""
        del name
        return True

    def step_out(self) -> bool:
        """Whether `esc` had something to undo here (a filter, marks) before it leaves."""
        return False

    def ask(
        self,
        key: str,
        make: "Callable[[AdminClient], Awaitable[T]]",
        then: Callable[[T], None],
        *,
        failed: Callable[[DtsError], None] | None = None,
        writes: bool = False,
    ) -> None:
        """Call the server in the background; a later call under the same key replaces this one."""
        self.console.ask(self, key, make, then, failed=failed, writes=writes)

    def is_asking(self, key: str) -> bool:
        """Whether a call under this key is not answered yet: what is asked every second waits for it."""
        return self.console.is_asking(self, key)

    # --- moving, the same everywhere ------------------------------------------------------------

    def _move(self, lines: int) -> None:
        target = self.main()
        if isinstance(target, Scrolling):
            target.move(lines)

    def _page(self) -> int:
        target = self.main()
        return max(target.page // 2, 1) if isinstance(target, Scrolling) else 10

    def do_down(self) -> None:
        """One line down."""
        self._move(1)

    def do_up(self) -> None:
        """One line up."""
        self._move(-1)

    def do_top(self) -> None:
        """To the first line."""
        self._move(-(10**6))

    def do_bottom(self) -> None:
        """To the last line."""
        self._move(10**6)

    def do_page_down(self) -> None:
        """Half a page down."""
        self._move(self._page())

    def do_page_up(self) -> None:
        """Half a page up."""
        self._move(-self._page())

    def do_refresh(self) -> None:
        """Ask the server now."""
        self.console.feed.wake()
        self.refresh_data()
