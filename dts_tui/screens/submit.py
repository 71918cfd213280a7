"""Submit: choose a function, fill in the form made from its signature, send, and see the job."""

import json
import shlex

from textual import events
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Input

from dts_core.errors import ApiError, DtsError
from dts_core.plain import words
from dts_core.text import clean
from dts_core.views import FunctionPage, FunctionView, JobView, SessionView
from dts_tui.draw import Line, fit, rule, wrap
from dts_tui.forms import FieldError, Filled, Form, masked
from dts_tui.rows import Rows
from dts_tui.screens.base import Place, View
from dts_tui.screens.job_actions import place_of
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.entry import Entry
from dts_tui.widgets.form import FormView, Send
from dts_tui.widgets.table import Column, Table

DTS = "dts/"
"""Functions of the control side, which no host runs."""


def arguments_of(function: FunctionView) -> str:
    """The signature in short: `path, pattern=*, algorithm=sha256`."""
    out = []
    for item in function.current.parameters:
        star = {"var_positional": "*", "var_keyword": "**"}.get(item.kind, "")
        default = item.default_text or (json.dumps(item.default) if not item.required else "")
        out.append(f"{star}{item.name}" + (f"={default}" if default and not star else ""))
    return ", ".join(out)


class Choose(View):
    """All functions, last used first; typing finds one. `place.key` names a host to run on."""

    scope, area = "choose", "jobs"
    DEFAULT_CSS = "Choose Input { border: none; height: 1; padding: 0 1; background: $surface; }"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._all: list[FunctionView] = []
        self._used: list[str] = []
        self._wanted = ""
        self._loaded = False
        self._moved = False
        self.rows: Rows[FunctionView] = Rows(lambda function: function.id)
        self.table = Table(
            self.rows,
            [
                Column("function", lambda f, w: (f.id, "strong"), 20, grow=1, most=34, keep=9),
                Column("arguments", lambda f, w: (arguments_of(f), "accent"), 16, grow=2, keep=5),
                Column("what it does", lambda f, w: (f.current.summary, "dim"), 20, grow=3, keep=7),
            ],
            lambda: (
                [("choose a function", "title"), (" ─ last used first", "dim")],
                [(str(len(self.rows.items)), "dim")],
            ),
            lambda: [
                "no function fits" if self._wanted else "no function yet" if self._loaded else ""
            ],
        )
        self.input = Entry(hint="type to find, enter opens its form")

    def crumbs(self) -> list[str]:
        """Below Jobs."""
        return ["Jobs", "new"]

    def compose(self) -> ComposeResult:
        """Where one types, and the list."""
        yield self.input
        yield self.table

    def main(self) -> Widget:
        """Typing finds."""
        return self.input

    def entered(self) -> None:
        """Ask for functions, and what was used last."""

        def used(session: SessionView) -> None:
            self._used = list(dict.fromkeys(job.function for job in session.recent))
            self._show()

        self.ask("functions", lambda client: client.functions.list(), self._got)
        self.ask("used", lambda client: client.session(), used)

    def _got(self, page: FunctionPage) -> None:
        self._all, self._loaded = page.items, True
        self.console.known_functions = {function.id for function in page.items}
        self._show()

    def _show(self) -> None:
        parts = self._wanted.casefold().split()
        order = {name: index for index, name in enumerate([*self.console.last_used, *self._used])}
        on_host = bool(self.place.key)
        hits = [
            f
            for f in self._all
            if not (on_host and f.id.startswith(DTS))
            and all(part in f"{f.id} {f.current.summary}".casefold() for part in parts)
        ]
        hits.sort(key=lambda f: (order.get(f.id, 10**6), f.id))
        self.rows.replace(hits)
        if hits and not self._moved:
            self.rows.cursor = hits[0].id
        self.table.redraw()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Fewer letters, more functions."""
        event.stop()
        self._wanted, self._moved = event.value, False
        self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Its form."""
        event.stop()
        self.do_open()

    def on_table_opened(self) -> None:
        """As enter."""
        self.do_open()

    def on_key(self, event: events.Key) -> None:
        """Up and down move while one types."""
        steps = {"down": 1, "up": -1, "pagedown": 10, "pageup": -10}
        if event.key in steps:
            self._moved = True
            self.table.move(steps[event.key])
            event.stop()
            event.prevent_default()

    def do_open(self) -> None:
        """The form of the function under the cursor."""
        if (function := self.rows.current) is not None:
            self.console.go(Place("form", function.id, self.place.key))

    do_submit = do_open

    def subject(self) -> dict[str, str]:
        """The function under the cursor."""
        return {"function": self.rows.cursor}

    def step_out(self) -> bool:
        """What was typed goes first."""
        if self.input.value:
            self.input.value = ""
            return True
        return False


class _About(Drawn):
    """What the function does, above its form."""

    def __init__(self, page: "Submit") -> None:
        super().__init__()
        self._page = page

    def draw(self, width: int, height: int) -> list[Line]:
        return self._page.about(width, height)


class Submit(View):
    """The form of one function. `place.part` names a host to run on."""

    scope, area = "submit", "jobs"
    SENDS = "send"
    """Name of the action that sends the form, with the guard of its permission."""
    YES = "Send"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.function: FunctionView | None = None
        self._about = _About(self)
        self._about.styles.height = 3
        self.form: Form | None = None
        self.fields: FormView | None = None
        self._missing = ""
        self.sending = False

    def crumbs(self) -> list[str]:
        """Below Jobs."""
        return ["Jobs", "new", self.place.key]

    def compose(self) -> ComposeResult:
        """What it is; the fields follow when the signature is known."""
        yield self._about

    def main(self) -> Widget | None:
        """The first field."""
        return self.fields.targets()[0] if self.fields is not None else None

    def entered(self) -> None:
        """Ask for the signature."""
        if self.function is not None:
            return

        def failed(error: DtsError) -> None:
            self._missing = str(error)
            self._about.redraw()

        self.ask(
            "function",
            lambda client: client.functions.get(self.place.key),
            self._got,
            failed=failed,
        )

    def world_changed(self) -> None:
        """A form that found no server is asked for again."""
        if self.function is None and self.console.world.connection.up and self._missing:
            self._missing = ""
            self.entered()

    def _got(self, function: FunctionView) -> None:
        self.function = function
        doc = wrap(
            function.current.doc.split("\n\n")[0] if function.current.doc else "",
            max(self.console.size.width - 2, 20),
        )
        self.lay_out(Form(function.current.parameters, self.place.part), min(2 + len(doc), 5))

    def draft(self) -> str:
        """Under which name what was typed is kept."""
        return self.place.key

    def lay_out(self, form: Form, head_lines: int) -> None:
        """Put the fields of this form on the screen, as they were left."""
        self.form = form
        for key, text in self.console.drafts.get(self.draft(), {}).items():
            if key in form.texts:
                form.texts[key] = text
        self.fields = FormView(form, self.YES)
        self._about.styles.height = head_lines
        self.mount(self.fields)
        self._about.redraw()
        self.call_after_refresh(self._focus)

    def _focus(self) -> None:
        if self.console.view is self:
            self.console.give_focus()

    def about(self, width: int, height: int) -> list[Line]:
        """Name, version, what it does."""
        if self.function is None:
            return [[(" " + (self._missing or "asking …"), "bad" if self._missing else "dim")]]
        version = self.function.current
        left: Line = [(self.function.id, "title"), (f" ─ version {version.hash[:10]}", "dim")]
        if self.place.part:
            left.append((f" ─ on {self.place.part}", "accent"))
        out = [rule(left, [("async", "accent")] if version.is_async else [], width)]
        doc = (version.doc.split("\n\n")[0] if version.doc else version.summary).replace("\n", " ")
        out += [
            fit([(" " + clean(text), "dim")], width) for text in wrap(doc, width - 2)[: height - 2]
        ]
        return out

    def left(self) -> None:
        """Keep what was typed, but never a secret."""
        if self.form is not None:
            secrets = self.form.secrets()
            self.console.drafts[self.draft()] = {
                key: text
                for key, text in self.form.texts.items()
                if key not in secrets and key != "options.host"
            }

    def do_next_tab(self) -> None:
        """The next field."""
        if self.fields is not None:
            self.fields.step(1)

    def do_options(self) -> None:
        """Unfold or fold the options."""
        if self.fields is not None:
            self.fields.unfold()

    def on_send_pressed(self, event: Send.Pressed) -> None:
        """As ctrl+s, with the same guard."""
        event.stop()
        self.console.run_named(self.SENDS)

    def do_send(self) -> None:
        """Check, then send."""
        if self.fields is None or self.form is None or self.function is None or self.sending:
            return
        if self.fields.errors(shout=True):
            return
        filled, function = self.form.filled(), self.function.id
        self.sending = True

        def sent(job: JobView) -> None:
            self.sending = False
            self.console.last_used = [
                function,
                *(name for name in self.console.last_used if name != function),
            ][:20]
            self.console.notice(f"{function} submitted as {words.short_id(job.id)}")
            self.console.trail.forget(("choose", "form"))
            self.console.go(place_of(self, job))

        self.ask(
            "send",
            lambda client: client.submit(
                function, args=filled.args, kwargs=filled.kwargs, **filled.options
            ),
            sent,
            failed=self.refused,
            writes=True,
        )

    def refused(self, error: DtsError) -> None:
        """The server's reasons stand at their fields."""
        self.sending = False
        fields = error.fields if isinstance(error, ApiError) else {}
        if self.fields is not None and fields and self.fields.refuse(fields):
            return
        self.console.notice(str(error), "bad")

    def subject(self) -> dict[str, str]:
        """The call as it stands, secrets masked."""
        filled = self._filled()
        if filled is None or self.form is None:
            return {"function": self.place.key}
        args, kwargs = masked(filled, self.form.secrets())
        parts = [f"--arg {shlex.quote(json.dumps(value, ensure_ascii=False))}" for value in args]
        parts += [
            f"--kw {shlex.quote(f'{name}={json.dumps(value, ensure_ascii=False)}')}"
            for name, value in kwargs.items()
        ]
        parts += [
            f"--{name.removesuffix('_seconds')} {value}" for name, value in filled.options.items()
        ]
        body = {"function": self.place.key, "args": filled.args, "kwargs": kwargs, **filled.options}
        return {
            "function": self.place.key,
            "arguments": " ".join(parts),
            "body": json.dumps(
                {name: value for name, value in body.items() if value not in ([], {})},
                ensure_ascii=False,
            ),
        }

    def _filled(self) -> Filled | None:
        try:
            return self.form.filled() if self.form is not None else None
        except FieldError:
            return None
