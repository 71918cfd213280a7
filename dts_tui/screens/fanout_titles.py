"""What a board says of itself: its head, the titles of its tables, and why there is nothing in them."""

from dts_core.plain import words
from dts_core.views.ssh import HostRunView
from dts_tui.draw import Line
from dts_tui.fanout import Group
from dts_tui.fanout_drawing import head_lines
from dts_tui.filters import Filter
from dts_tui.rows import Rows
from dts_tui.screens.base import Place
from dts_tui.screens.fanout_actions import BoardActions
from dts_tui.state import Stamp


class BoardTitles(BoardActions):
    """The words around the tables of a board."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.stamp = Stamp(interval=1.0)
        self.filter = Filter()
        self.why = ""
        """Why the server told nothing."""
        self.fitting = 0
        """Hosts that fit the filter, shown or not."""
        self.grouped = 0
        """Groups that there are, shown or not."""
        self.groups: Rows[Group] = Rows(lambda group: group.key)
        self.hosts: Rows[HostRunView] = Rows(lambda view: view.host)

    def head_lines(self, width: int) -> list[Line]:
        """What runs there, and how far it is."""
        if self.fan.job is None and self.why:
            return [[(f" {self.why}", "bad")]]
        return head_lines(self.fan, self.console.now(), width)

    def groups_title(self) -> tuple[Line, Line]:
        """Of the groups."""
        count = words.plural(self.grouped, "group")
        if len(self.groups.items) < self.grouped:
            count = f"the {words.count(len(self.groups.items))} largest of {count}"
        return [
            ("same answer", "title"),
            (f" ─ {count}", "dim"),
            *self.questions.line(),
            (" ─ tab: hosts", "faint"),
        ], self._age()

    def hosts_title(self) -> tuple[Line, Line]:
        """Of the hosts; what fits and is not shown is counted."""
        shown, total = len(self.hosts.items), self.fan.total
        told = (
            f"{words.count(shown)} of {words.count(total)}" if shown < total else words.count(total)
        )
        left: Line = [("hosts", "title"), (f" ─ {told}", "dim")]
        if self.filter.terms:
            left.append((f" ─ {self.filter}", "accent"))
        left += self.questions.line()
        if shown < self.fitting:
            left.append(
                (f" ─ {words.count(self.fitting - shown)} more fit: narrow the filter", "warn")
            )
        return left, self._age()

    def _age(self) -> Line:
        age = self.stamp.age(self.console.monotonic())
        if age is None:
            return [("asking …", "dim")]
        if self.console.world.connection.up is False:
            return [(f"stale {words.age(int(age))}", "warn")]
        if self.console.world.paused_at is not None and self.fan.is_live:
            return [(f"paused, age {words.age(int(age))}", "warn")]
        return [("live", "good")] if self.fan.is_live else [("ended", "dim")]

    def empty(self) -> list[str]:
        """Where a table has no row."""
        if self.why:
            return [self.why]
        if not self.fan.complete:
            return ["asking …"]
        return ["no host fits; esc takes the filter away" if self.filter.terms else "no host"]
