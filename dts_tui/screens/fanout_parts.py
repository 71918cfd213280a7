"""Parts of a board: its head, its tables that tell where the cursor went, and what the one under it printed."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from dts_core.errors import DtsError
from dts_core.text import clean
from dts_core.views.ssh import HostOutputView, HostRunView
from dts_tui.draw import Line
from dts_tui.fanout import SETTLED_LAST, state_words
from dts_tui.output_text import OutputText, output_lines
from dts_tui.screens.base import View
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.output import OutputView
from dts_tui.widgets.table import Table

T = TypeVar("T")
OUTPUTS_KEPT = 12
"""Outputs of hosts that are held while the cursor goes up and down."""
LOOK_SECONDS = 0.12
"""The cursor has to stand so long before the output under it is asked for."""


class Head(Drawn):
    """Lines above the tables."""

    def __init__(self, make: Callable[[int], list[Line]]) -> None:
        super().__init__()
        self._make = make

    def draw(self, width: int, height: int) -> list[Line]:
        """As they are made."""
        return self._make(width)


class Watched(Table[T]):
    """A table that tells whenever it is to be drawn anew: the cursor may be elsewhere."""

    watcher: Callable[[], None] | None = None

    def redraw(self) -> None:
        """See Drawn."""
        super().redraw()
        if self.watcher is not None:
            self.watcher()


class Preview:
    """What the host under the cursor printed, below the tables.

    Args:
        view: The board.
        job: Its job.
    """

    def __init__(self, view: View, job: str) -> None:
        self._view = view
        self._job = job
        self._host: HostRunView | None = None
        self._of = 1
        self._wanted = ""
        self._why = ""
        self._known: OrderedDict[str, OutputText] = OrderedDict()
        self.output = OutputView(self._title, self._empty)

    def point(self, host: HostRunView | None, of: int) -> None:
        """Show this host, one of so many with the same answer; asked for once the cursor rests."""
        key = "" if host is None else _key(host)
        renamed = host is not None and self._host is not None and host.host != self._host.host
        self._host, self._of = host, of
        if key == self._wanted:
            if renamed:
                self.output.redraw()
            return
        self._wanted, self._why = key, ""
        self.output.show(self._known.get(key, ()))
        if host is not None and key not in self._known and host.state not in SETTLED_LAST:
            self._view.set_timer(LOOK_SECONDS, lambda: self._ask(key))

    def _ask(self, key: str) -> None:
        host = self._host
        if key != self._wanted or key in self._known or host is None:
            return

        def got(answer: HostOutputView) -> None:
            self._known[key] = output_lines(answer)
            while len(self._known) > OUTPUTS_KEPT:
                self._known.popitem(last=False)
            if key == self._wanted:
                self.output.show(self._known[key])

        def failed(error: DtsError) -> None:
            self._why = str(error)
            self.output.redraw()

        self._view.ask(
            "preview", lambda client: client.ssh.output(self._job, host.host), got, failed=failed
        )

    def _title(self) -> Line:
        if self._host is None:
            return [("output", "title")]
        out: Line = [(clean(self._host.host, 120), "title")]
        if self._of > 1:
            out.append((f" ─ one of {self._of} with this answer", "dim"))
        return out

    def _empty(self) -> str:
        if self._why or self._host is None:
            return self._why
        if self._host.state in SETTLED_LAST:
            return f"{state_words(self._host.state)}: nothing was printed"
        return "it printed nothing" if self._wanted in self._known else "asking …"


def _key(host: HostRunView) -> str:
    """Under which its output is held: hosts with the same answer printed the same, unreachable ones each their own."""
    return (
        f"{host.host}/{host.seq}" if host.state == "unreachable" or not host.group else host.group
    )
