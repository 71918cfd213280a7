"""The road from an address to a worker: its steps, and of the one under the cursor all that is known."""

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget

from dts_core.text import clean
from dts_core.views import JobView
from dts_tui.draw import Line, rule
from dts_tui.host_setup import LOOK, REMOVAL, SCAN, TRIAL, WORK, ended
from dts_tui.host_setup_drawing import detail_lines, step_lines
from dts_tui.host_setup_steps import (
    ADDRESS,
    APPLY,
    BEAT,
    FACTS,
    JOB,
    KEY,
    LOGIN,
    NAMES,
    PLAN,
    STATES,
    Around,
    Step,
    asks,
    credential,
    current,
    is_changed,
    steps_of,
)
from dts_tui.screens.base import Place
from dts_tui.screens.job_actions import ask_cancel
from dts_tui.screens.setup_doing import (
    ask_forget_key,
    ask_removal,
    ask_set_up,
    ask_trust,
    look,
    scan,
    setup_subject,
    try_login,
)
from dts_tui.screens.setup_news import SetUpNews
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.lines import Lines

NARROW = 100
LIST_CELLS, LIST_CELLS_NARROW = 44, 25


class _Steps(Drawn):
    """The list of steps."""

    def __init__(self, page: "SetUpPage") -> None:
        super().__init__()
        self._page = page

    def draw(self, width: int, height: int) -> list[Line]:
        return self._page.list_lines(width)


class SetUpPage(SetUpNews):
    """The steps of a host, one of them in full."""

    scope, area = "setup", "admin"
    AWAITED = True
    DEFAULT_CSS = "SetUpPage Horizontal { height: 1fr; }"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._at = ""
        """The step that is looked at; empty: the one that it stands at."""
        self._list = _Steps(self)
        self.detail = Lines(self._detail_lines, self._detail_title)

    def crumbs(self) -> list[str]:
        """Below the virtual hosts."""
        return ["Admin", "virtual hosts", self.place.key, "set up"]

    def compose(self) -> ComposeResult:
        """The steps, and the one that is looked at."""
        with Horizontal():
            yield self._list
            yield self.detail

    def main(self) -> Widget:
        """What scrolls."""
        return self.detail

    def on_resize(self) -> None:
        """Where there is little room, the steps are told in a word each."""
        width = self.size.width
        wide = max(LIST_CELLS, width * 2 // 5)
        self._list.styles.width = wide if width >= NARROW else LIST_CELLS_NARROW

    # --- by itself ------------------------------------------------------------------------------

    def changed(self) -> None:
        """Show it; what changes nothing follows by itself while one goes through the steps."""
        if self.console.view is not self:
            return
        self._redraw()
        self.console.scope_changed()
        if not self.it.eager or not self.is_known or self.it.starting:
            return
        if self.console.why_not("go-on"):
            return
        step = current(self.steps())
        if step.state == "failed":
            self.it.eager = False
        elif step.state == "yours" and step.name in (KEY, LOGIN, FACTS):
            self._by_itself(step.name)

    def _by_itself(self, name: str) -> None:
        if name == KEY and self.it.fresh(SCAN) is None:
            scan(self)
        elif name == LOGIN and credential(self.it.document or {}):
            try_login(self)
        elif name == FACTS:
            look(self)

    def ask_wanted(self, wanted: str) -> None:
        """What was chosen in a list."""
        if wanted == "again":
            self.do_set_up_again()
        elif wanted == "remove":
            self.do_remove_setup()

    # --- drawing --------------------------------------------------------------------------------

    def around(self) -> Around:
        """What else counts."""
        world = self.console.world
        parts = world.status.parts if world.status is not None else []
        agent = next((each for each in parts if each.name == f"agent {self.place.key}"), None)
        return Around(world.host(self.place.key), agent, self.console.now())

    def steps(self) -> list[Step]:
        """Where each step stands."""
        return steps_of(self.it, self.around())

    def step(self) -> Step:
        """The one that is looked at."""
        steps = self.steps()
        return next((each for each in steps if each.name == self._at), None) or current(steps)

    def _redraw(self) -> None:
        self._list.redraw()
        self.detail.redraw()

    def list_lines(self, width: int) -> list[Line]:
        """The steps, under the host's name."""
        title: Line = [(clean(self.place.key, 120), "title")]
        age = self.stamp.age(self.console.monotonic())
        told = [] if age is None else [(f"age {age:.0f}s", "dim")]
        return [rule(title, told, width), *step_lines(self.steps(), self.step().name, width)]

    def _detail_title(self) -> tuple[Line, Line]:
        step = self.step()
        left: Line = [(step.name, "title"), (f" ─ {STATES[step.state]}", "dim")]
        return left, [(f"{NAMES.index(step.name) + 1} of {len(NAMES)}", "dim")]

    def _detail_lines(self, width: int) -> list[Line]:
        return detail_lines(self.it, self.step(), self.around(), width)

    # --- moving ---------------------------------------------------------------------------------

    def _turn(self, by: int) -> None:
        at = NAMES.index(self.step().name) + by
        self._to(NAMES[min(max(at, 0), len(NAMES) - 1)])

    def _to(self, name: str) -> None:
        """Look at a step; at the one where it stands, the cursor goes along with it."""
        self._at = "" if name == current(self.steps()).name else name
        self.detail.top = 0
        self._redraw()
        self.console.scope_changed()

    def do_down(self) -> None:
        """The next step."""
        self._turn(1)

    def do_up(self) -> None:
        """The step before."""
        self._turn(-1)

    def do_top(self) -> None:
        """The first step."""
        self._to(NAMES[0])

    def do_bottom(self) -> None:
        """The last step."""
        self._to(NAMES[-1])

    do_next_tab, do_previous_tab = do_down, do_up

    def step_out(self) -> bool:
        """Back to the step where it stands."""
        if self._at:
            self._to(current(self.steps()).name)
            return True
        return False

    # --- going on -------------------------------------------------------------------------------

    def do_go_on(self) -> None:
        """What the step under the cursor needs."""
        step, now = self.step(), current(self.steps())
        if self.it.document is None:
            self.refresh_data()
        elif step.state == "waiting":
            self.console.notice(f"first comes {now.name}: {now.told or STATES[now.state]}", "warn")
            self._to(now.name)
        elif step.state == "doing":
            self.console.notice(f"{step.name}: {step.told or 'it is being done'}")
        else:
            self._at = ""
            self.it.eager = True
            self._act(step)

    def _act(self, step: Step) -> None:
        if step.name == ADDRESS and step.state == "failed":
            self.refresh_data()
        elif step.name == ADDRESS:
            self._edit(ADDRESS)
        elif step.name == KEY:
            is_shown = self.it.fresh(SCAN) is not None and step.state == "yours"
            (ask_trust if is_shown else scan)(self)
        elif step.name == LOGIN and (step.state == "failed" or credential(self.it.document or {})):
            try_login(self)
        elif step.name == LOGIN:
            self._edit(LOGIN)
        elif step.name in (FACTS, PLAN):
            look(self)
        elif step.name in (APPLY, BEAT):
            ask_set_up(self)
        elif step.name == JOB:
            self.console.go(Place("choose", self.place.key))

    def do_try_as_me(self) -> None:
        """Log in with what is answered here."""
        if self.has_use("try-as-me"):
            try_login(self)

    def do_answer(self) -> None:
        """What the login asks."""
        if self.questions is not None:
            self.questions.put()

    def _edit(self, name: str) -> None:
        if self.it.document is None:
            return
        if name in (ADDRESS, KEY):
            self.console.go(Place("setup-address", f"vhosts/{self.place.key}"))
        elif name == LOGIN:
            self.console.go(Place("setup-login", f"vhosts/{self.place.key}"))
        else:
            self.console.go(Place("setup-options", self.place.key))

    def do_edit_step(self) -> None:
        """The form behind the step."""
        self._edit(self.step().name)

    def do_set_up_again(self) -> None:
        """Without a look before."""
        if self.it.document is not None:
            ask_set_up(self, again=True)

    def do_remove_setup(self) -> None:
        """All that was made there."""
        if self.it.document is not None:
            ask_removal(self)

    def do_forget_key(self) -> None:
        """So that another one can be confirmed."""
        if self.it.document is not None:
            ask_forget_key(self)

    def do_cancel(self) -> None:
        """What runs."""
        ask_cancel(self, [self.it.jobs[kind] for kind in self.it.live])

    def do_job_logs(self) -> None:
        """Of the job that is or was at work there."""
        job = self._job()
        if job is None:
            self.console.notice("nothing has run here yet", "warn")
        else:
            self.console.go(Place("job", job.id, "log"))

    def _job(self) -> JobView | None:
        kinds = [REMOVAL, WORK] if self.it.work is None else [WORK]
        jobs = [self.it.jobs[kind] for kind in [*kinds, LOOK, TRIAL, SCAN] if kind in self.it.jobs]
        return max(jobs, key=lambda each: each.created_at, default=None)

    def has_use(self, name: str) -> bool:
        """Keys that have nothing to do are not named."""
        if name == "cancel":
            return bool(self.it.live)
        if name == "answer":
            return self.questions is not None and bool(self.questions.count)
        if name == "try-as-me":
            step = self.step()
            return step.name == LOGIN and step.state == "yours" and asks(self.it.document or {})
        if name == "forget-key":
            return is_changed(self.it)
        return name != "job-logs" or self._job() is not None

    def copied(self) -> str:
        """A key to be handed on or compared; else what is told of the step."""
        name, document = self.step().name, self.it.document or {}
        if name == LOGIN and document.get("public_key"):
            return str(document["public_key"])
        if name == KEY and (job := self.it.fresh(SCAN)) is not None:
            return str(ended(job, self.place.key).told.get("fingerprint", ""))
        lines = self._detail_lines(10_000)
        return "\n".join("".join(text for text, _ in line).strip() for line in lines)

    def exported(self) -> list[dict[str, str]]:
        """The steps."""
        return [
            {"step": each.name, "state": STATES[each.state], "told": each.told}
            for each in self.steps()
        ]

    def subject(self) -> dict[str, str]:
        """The host, and what the step would ask for."""
        job = self._job()
        return setup_subject(self.it, self.step().name, job.id if job is not None else "")
