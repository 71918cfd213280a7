"""All that one host of a fan-out printed: read, searched, followed while it runs."""

from textual.app import ComposeResult
from textual.widget import Widget

from dts_core.errors import DtsError
from dts_core.plain import glyphs, words
from dts_core.text import clean
from dts_core.views.ssh import HostOutputView, HostRunList
from dts_tui.draw import Line
from dts_tui.fanout import MOVING, RUNNING, FanOut, ended_words, state_words, took_words
from dts_tui.output_text import output_lines
from dts_tui.screens.base import Place, View
from dts_tui.screens.fanout_asking import all_hosts
from dts_tui.screens.host_shell import open_shell, shell_subject
from dts_tui.widgets.output import OutputView


class HostOutput(View):
    """What host `place.part` of job `place.key` printed."""

    scope, area = "host-output", "jobs"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.answer: HostOutputView | None = None
        self.fan = FanOut()
        self._why = ""
        self._alike: list[str] = []
        """Those with the same answer as the one that is shown."""
        self.output = OutputView(self._title, self._empty)

    def crumbs(self) -> list[str]:
        """Below its job."""
        return ["Jobs", words.short_id(self.place.key), self.place.part]

    def compose(self) -> ComposeResult:
        """Only the text."""
        yield self.output

    def main(self) -> Widget:
        """It gets the keys."""
        return self.output

    def entered(self) -> None:
        """Ask for it, and for its neighbours."""
        self.refresh_data()
        self.ask(
            "hosts", lambda client: all_hosts(client, self.place.key), self._got_all,
            failed=lambda error: None,
        )  # fmt: skip

    def _got_all(self, pages: list[HostRunList]) -> None:
        for index, page in enumerate(pages):
            self.fan.whole(page, first=index == 0)
        self._alike = []
        self.output.redraw()

    def refresh_data(self) -> None:
        """What there is of it by now."""
        job, host = self.place.key, self.place.part

        def got(answer: HostOutputView) -> None:
            if host == self.place.part:
                known, self.answer, self._why = self.answer, answer, ""
                if known is None:
                    self.output.follow = answer.state == RUNNING
                self.output.show(output_lines(answer), keep=known is not None)

        def failed(error: DtsError) -> None:
            self._why = str(error)
            self.output.redraw()

        self.ask("output", lambda client: client.ssh.output(job, host), got, failed=failed)

    def tick(self) -> None:
        """While it has not ended, ask again."""
        world = self.console.world
        moving = self.answer is None or self.answer.state in MOVING
        is_due = moving and not self.is_asking("output")
        if is_due and world.paused_at is None and world.connection.up:
            self.refresh_data()
        self.output.stale = world.connection.up is False
        self.output.redraw()

    # --- drawing --------------------------------------------------------------------------------

    def _title(self) -> Line:
        out: Line = [(clean(self.place.part, 120), "title")]
        view = self.answer
        if view is None:
            return out
        look = glyphs.run(view.state)
        out.append((f" ─ {look.glyph} {state_words(view.state)}", look.style))
        if ended := ended_words(view):
            out.append((f" ─ {ended}", "text"))
        out.append(
            (f" ─ {took_words(view, self.console.now())} ─ {words.size(view.output_total)}", "dim")
        )
        same = self._same()
        if len(same) > 1:
            at = same.index(self.place.part) + 1
            out.append((f" ─ {at} of {len(same)} with this answer", "dim"))
        if self.output.search:
            out.append((f" ─ find {self.output.search}", "hit"))
        return out

    def _empty(self) -> str:
        if self._why:
            return self._why
        if self.answer is None:
            return "asking …"
        if self.answer.state in MOVING:
            return f"{state_words(self.answer.state)}: it has not ended"
        return "it printed nothing"

    def _same(self) -> list[str]:
        """Hosts with the same answer, in the job's order."""
        if self.place.part not in self._alike:
            groups = (group.hosts for group in self.fan.groups())
            self._alike = next((hosts for hosts in groups if self.place.part in hosts), [])
        return self._alike

    # --- actions --------------------------------------------------------------------------------

    def _turn(self, by: int) -> None:
        hosts = list(self.fan.hosts)
        if self.place.part in hosts:
            part = hosts[(hosts.index(self.place.part) + by) % len(hosts)]
            self.place = self.place._replace(part=part)
            self.answer = None
            self.output.show(())
            self.refresh_data()
            self.console.scope_changed()

    def do_next_tab(self) -> None:
        """The next host of the job."""
        self._turn(1)

    def do_previous_tab(self) -> None:
        """The host before."""
        self._turn(-1)

    def do_find(self) -> None:
        """Search it."""

        def live(text: str) -> None:
            self.output.search = text
            self.output.redraw()

        def done(text: str) -> None:
            self.console.close_prompt()
            live(text)
            self.output.hit = -1
            if text and not (self.output.step_hit(1) or self.output.step_hit(-1)):
                self.console.notice(f"`{text}` is not in what it printed", "warn")

        self.console.prompt.ask("find", "find", self.output.search, done, live=live)

    def do_next_hit(self) -> None:
        """Down to the next hit."""
        self._hit(1)

    def do_previous_hit(self) -> None:
        """Up to the next hit."""
        self._hit(-1)

    def _hit(self, by: int) -> None:
        if not self.output.search:
            self.console.notice("nothing is searched for; ctrl+f does", "warn")
        elif not self.output.step_hit(by):
            self.console.notice("no further hit " + ("below" if by > 0 else "above"), "warn")

    def do_follow(self) -> None:
        """Stay at the end, or not."""
        self.output.follow = not self.output.follow
        self.output.redraw()

    def do_wrap(self) -> None:
        """Fold long lines, or cut them."""
        self.output.wrap = not self.output.wrap
        self.output.redraw()

    def step_out(self) -> bool:
        """The search goes first."""
        if not self.output.search:
            return False
        self.output.search, self.output.hit = "", -1
        self.output.redraw()
        return True

    def do_shell(self) -> None:
        """On this host."""
        open_shell(self, self.place.part)

    def subject(self) -> dict[str, str]:
        """The job and the host."""
        return {"id": self.place.key, "host": self.place.part} | shell_subject(self.place.part)

    def copied(self) -> str:
        """All of it."""
        return "\n".join(text for text, _ in self.output.lines)

    def exported(self) -> list[dict[str, str]]:
        """A record a line."""
        return [{"line": text} for text, _ in self.output.lines]
