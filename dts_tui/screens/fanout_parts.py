"""Parts of a board: its head, its tables that tell where the cursor went, and what the one under it printed."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from dts_core.errors import DtsError
from dts_core.plain.glyphs import run
from dts_core.text import clean
from dts_core.views.ssh import HostOutputView, HostRunView
from dts_tui.draw import Line
from dts_tui.fanout import RUNNING, UNBEGUN, state_words
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
        if renamed or host is None or key in self._known:
            self.output.follow = False
            self.output.show(self._known.get(key, ()))
        if host is not None and key not in self._known and host.state not in UNBEGUN:
            self._view.set_timer(LOOK_SECONDS, lambda: self._look(key))

    def refresh(self) -> None:
        """Once a second: a host that runs has printed more."""
        is_running = self._host is not None and self._host.state == RUNNING
        if is_running and not self._view.is_asking("preview"):
            self._ask(self._wanted)

    def _look(self, key: str) -> None:
        """The cursor has rested."""
        if key not in self._known:
            self._ask(key)

    def _ask(self, key: str) -> None:
        host = self._host
        if key != self._wanted or host is None:
            return

        def got(answer: HostOutputView) -> None:
            lines = output_lines(answer)
            if answer.state != RUNNING:
                self._keep(key, lines)
            if key == self._wanted:
                self._show(lines, is_running=answer.state == RUNNING)

        def failed(error: DtsError) -> None:
            self._why = str(error)
            self.output.redraw()

        self._view.ask(
            "preview", lambda client: client.ssh.output(self._job, host.host), got, failed=failed
        )

    def _show(self, lines: OutputText, *, is_running: bool) -> None:
        """While it runs its end is in sight; so it is still when it has ended meanwhile."""
        was_followed, self.output.follow = self.output.follow, is_running
        self.output.show(lines, keep=True)
        if was_followed and not is_running:
            self.output.move(len(lines))

    def _keep(self, key: str, lines: OutputText) -> None:
        self._known[key] = lines
        while len(self._known) > OUTPUTS_KEPT:
            self._known.popitem(last=False)

    def _title(self) -> Line:
        if self._host is None:
            return [("output", "title")]
        out: Line = [(clean(self._host.host, 120), "title")]
        if self._host.state == RUNNING:
            look = run(RUNNING)
            out.append((f" ─ {look.glyph} {RUNNING}", look.style))
        if self._of > 1:
            same = " with this answer" if self._host.group else ""
            out.append((f" ─ one of {self._of}{same}", "dim"))
        return out

    def _empty(self) -> str:
        if self._why or self._host is None:
            return self._why
        if self._host.state in UNBEGUN or self._host.state == RUNNING:
            return f"{state_words(self._host.state)}: nothing was printed"
        return "it printed nothing" if self._wanted in self._known else "asking …"


def _key(host: HostRunView) -> str:
    """Under which its output is held: hosts with the same answer printed the same, unreachable ones each their own."""
    return (
        f"{host.host}/{host.seq}" if host.state == "unreachable" or not host.group else host.group
    )
