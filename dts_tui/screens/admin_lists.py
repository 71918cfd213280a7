"""What the lists of documents and of operations share: pages from the server, the newest asked for again."""

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from dts_core.errors import DtsError
from dts_core.plain import words
from dts_tui.admin_documents import TITLES
from dts_tui.draw import Line, wrap
from dts_tui.filters import Filter
from dts_tui.screens.base import Place
from dts_tui.screens.lists import MarkedList
from dts_tui.state import Stamp

T = TypeVar("T")
PAGE = 100
EVERY_SECONDS = 5
"""How often the first page is asked for while it is all that is shown."""
LOOKS_MOST = 20
"""Most pages that are looked through for what fits a filter, before somebody goes down for more."""
TYPING_SECONDS = 0.2
"""A filter is asked for when nobody typed for so long."""


class PagedList(MarkedList[T], Generic[T]):
    """A list whose records come by page as one goes down; at most 500 are kept."""

    area = "admin"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.listed = place.kind
        self.stamp = Stamp(float(EVERY_SECONDS))
        self.local = Filter()
        """What of the filter the server cannot look for."""
        self._above = 0
        """How many fell off the top."""
        self._further = False
        self._more = False
        self._why = ""
        self._looks = self._ticks = 0

    # --- what is made from it -------------------------------------------------------------------

    def ask_page(self, *, first: bool) -> None:
        """Ask for the first page, or for the one after what is known; answer with `took`."""
        raise NotImplementedError

    # --- asking ---------------------------------------------------------------------------------

    def crumbs(self) -> list[str]:
        """Below Admin."""
        return ["Admin", TITLES[self.listed]]

    def records(self) -> Iterable[T]:
        """Those that are known."""
        return self.rows.items.values()

    def world_changed(self) -> None:
        """A list that found no server is asked for again."""
        if self._why and self.stamp.at is None and self.console.world.connection.up:
            self._why = ""
            self.refresh_data()
        super().tick()

    def entered(self) -> None:
        """Take the filter of the place, else the one that was here last; then ask."""
        memory = self.console.world.documents
        text = self.place.key.strip() if self.place.key else memory.filters.get(self.listed, "")
        self.place = Place(self.place.kind)
        super().set_filter(text)
        self.refresh_data()

    def left(self) -> None:
        """Keep filter and cursor."""
        memory = self.console.world.documents
        memory.filters[self.listed] = str(self.filter)
        memory.cursors[self.listed] = self.rows.cursor

    def refresh_data(self) -> None:
        """The first page."""
        self._looks = 0
        self.ask_page(first=True)

    def took(self, items: Sequence[T], *, first: bool, more: bool) -> None:
        """A page came: show of it what fits, and look on where that is little."""
        known = self.console.world.documents.cursors.pop(self.listed, "") if first else ""
        fitting = [each for each in items if self.local.match(self.record(each))]
        if first:
            if self._above:
                self.rows.cursor = ""  # what it stood on is further down
                self.rows.items.clear()
            self.rows.replace(fitting)
            self._above, self._further = 0, False
        else:
            self._above += self.rows.extend(fitting)
            self._further = True
        if known in self.rows.items:
            self.rows.cursor = known
        self._why, self._more = "", more
        self.stamp.at = self.console.monotonic()
        self.table.redraw()
        self.console.scope_changed()
        if more and len(self.rows.items) < self.table.page and self._looks < LOOKS_MOST:
            self._looks += 1
            self.ask_page(first=False)

    def refused(self, error: DtsError) -> None:
        """No page came."""
        self._why = str(error)
        self.table.redraw()

    def on_table_reached(self) -> None:
        """The end is near: the next page."""
        self._looks = 0
        if self._more:
            self.ask_page(first=False)

    def set_filter(self, text: str) -> None:
        """Look for what fits, once nobody types any more."""
        super().set_filter(text)
        self.set_timer(TYPING_SECONDS, lambda: self._asked_for(text))

    def _asked_for(self, text: str) -> None:
        if self.console.view is self and str(self.filter) == " ".join(text.split()):
            self.refresh_data()

    def tick(self) -> None:
        """Ages move; the first page is asked for again while it is all there is."""
        self._ticks += 1
        world = self.console.world
        fresh = world.paused_at is None and world.connection.up is True
        if self._ticks % EVERY_SECONDS == 0 and fresh and not self._further and not self.rows.marks:
            self.ask_page(first=True)
        super().tick()

    def stamp_shown(self) -> Stamp:
        """When the last page came."""
        return self.stamp

    # --- drawing --------------------------------------------------------------------------------

    def order(self) -> str:
        """How it is sorted, in words."""
        return ""

    def _title(self) -> tuple[Line, Line]:
        count = len(self.rows.items)
        left: Line = [
            (TITLES[self.listed], "title"),
            (f" ─ {count}{' and more' if self._more else ''}", "dim"),
            *self.remark(),
        ]
        if self._above:
            left.append((f" ─ {self._above} above, r goes there", "dim"))
        if self.filter.terms:
            left.append((f" ─ {self.filter}", "accent"))
        if order := self.order():
            left.append((f" ─ {order}", "dim"))
        if self.rows.marks:
            left.append((f" ─ {len(self.rows.marks)} marked", "warn"))
        now = self.console.monotonic()
        age = self.stamp.age(now)
        if age is None:
            return left, [] if self._why else [("asking …", "dim")]
        told = words.age(int(age))
        if self._why and count:
            return left, [("✗ not answered", "bad"), (f"  age {told}", "dim")]
        return left, [
            (f"stale {told}", "warn")
            if self.stamp.stale(now) and not self._further
            else (f"age {told}", "dim")
        ]

    def _empty(self) -> list[str]:
        if self._why:
            return wrap(self._why, max(self.size.width - 6, 20))
        if self.stamp.at is None:
            return ["asking …"]
        if self._more:
            return ["nothing fits so far; G looks further"]
        return ["nothing fits; esc takes the filter away" if self.filter.terms else self.EMPTY]

    def do_bottom(self) -> None:
        """To the last line; where nothing fits yet, the next pages."""
        super().do_bottom()
        if not self.rows.items:
            self.on_table_reached()

    # --- from one list to the next --------------------------------------------------------------

    def do_next_tab(self) -> None:
        """The next list."""
        self._turn(1)

    def do_previous_tab(self) -> None:
        """The list before."""
        self._turn(-1)

    def _turn(self, by: int) -> None:
        names = [name for name in TITLES if not self.console.why_not(name)]
        if self.listed in names:
            self.console.go(Place(names[(names.index(self.listed) + by) % len(names)]))
