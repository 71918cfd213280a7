"""The editor of a function's source; the server's checks show at their line."""

import re

from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Input

from dts_core.errors import ApiError, DtsError
from dts_core.names import split_function
from dts_core.views import FunctionView, SourceView, Written
from dts_tui.draw import Line, fit, rule
from dts_tui.own_editor import EditorFailed, edit_outside
from dts_tui.safe import editable, safe
from dts_tui.screens.base import Place, View
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.entry import Entry
from dts_tui.widgets.source import Code

TEMPLATE = '''"""What this function does, in one line."""

from dts_core import job


def main(name: str = "world") -> dict[str, str]:
    """Say hello.

    Args:
        name: Who is greeted.
    """
    job.logger.info("greeting %s", name)
    job.progress(1.0, "done")
    return {"greeting": f"hello {name}"}
'''


class _Note(Drawn):
    DEFAULT_CSS = "_Note { height: 1; }"
    text = ""
    style = "dim"

    def draw(self, width: int, height: int) -> list[Line]:
        return [fit([(" " + self.text, self.style)], width)]


class _Title(Drawn):
    DEFAULT_CSS = "_Title { height: 1; }"

    def __init__(self, page: "Editor") -> None:
        super().__init__()
        self._page = page

    def draw(self, width: int, height: int) -> list[Line]:
        left, right = self._page.title()
        return [rule(left, right, width, "focus")]


class Editor(View):
    """Edit one function, or make a new one when the place has no key; `part` names a version to start from."""

    scope, area = "editor", "functions"
    DEFAULT_CSS = "Editor Input { border: none; height: 1; padding: 0 1; background: $surface; }"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.function: FunctionView | None = None
        self._title, self._note = _Title(self), _Note()
        self.code: Code | None = None
        self.name_input = Entry(hint="namespace/name of the new function")
        self._saved = TEMPLATE if not place.key else ""
        self._saving = False

    def crumbs(self) -> list[str]:
        """Below Functions."""
        return ["Functions", self.place.key or "new", "edit"]

    def compose(self) -> ComposeResult:
        """Title, name when it is new, code, note."""
        yield self._title
        if not self.place.key:
            yield self.name_input
        self.code = Code(
            self._saved,
            self.console.palette.colours,
            self.console.theme,
            read_only=bool(self.place.key),
        )
        yield self.code
        yield self._note

    def main(self) -> Widget | None:
        """The name first, when it is new."""
        return self.name_input if not self.place.key and not self.name_input.value else self.code

    def title(self) -> tuple[Line, Line]:
        """What is edited, and whether it differs from what is stored."""
        left: Line = [(self.place.key or self.name_input.value or "a new function", "title")]
        if self.function is not None:
            left.append(
                (f" ─ from version {(self.place.part or self.function.default)[:10]}", "dim")
            )
        return left, [("changed", "warn") if self.changed else ("as saved", "dim")]

    @property
    def changed(self) -> bool:
        """Whether there is something to lose."""
        return self.code is not None and self.code.text != self._saved

    def say(self, text: str, style: str = "dim") -> None:
        """The line below the code."""
        self._note.text, self._note.style = safe(text), style
        self._note.redraw()

    def entered(self) -> None:
        """Ask for the source."""
        if not self.place.key:
            if self.code is not None and (draft := self.console.unsaved.get("")) is not None:
                self.code.load_text(draft)
            self.say("ctrl+s saves; the server checks syntax, import and `main`")
            return
        if self.function is not None:
            return
        name = self.place.key
        self.say("asking …")

        def got(function: FunctionView) -> None:
            self.function = function
            version = self.place.part or function.default
            self.ask(
                "source",
                lambda client: client.functions.source(name, version=version),
                self._got_source,
            )

        self.ask(
            "function",
            lambda client: client.functions.get(name),
            got,
            failed=lambda error: self.say(str(error), "bad"),
        )

    def _got_source(self, source: SourceView) -> None:
        assert self.code is not None
        if not editable(source.source):
            self.code.load_text(safe(source.source, 200_000))
            self.say(
                "the source holds control characters: it is shown with them visible, and edited only from a file",
                "warn",
            )
            return
        self._saved = source.source
        self.code.read_only = False
        draft = self.console.unsaved.get(self.place.key)
        self.code.load_text(source.source if draft is None else draft)
        self.say(
            "ctrl+s saves a new version; running jobs keep their own"
            if draft is None
            else "your unsaved text: ctrl+s saves it as a new version, ctrl+r takes it back"
        )
        self._title.redraw()

    def on_text_area_changed(self) -> None:
        """Whether it differs."""
        self._title.redraw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """On to the code."""
        event.stop()
        if self.code is not None:
            self.code.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say at once whether it is a name."""
        event.stop()
        self._title.redraw()
        try:
            split_function(event.value)
        except DtsError as error:
            self.say(str(error), "warn")
        else:
            self.say("ctrl+s saves; the server checks syntax, import and `main`")

    # --- saving ---------------------------------------------------------------------------------

    def do_save(self) -> None:
        """Check here what can be checked, then let the server decide."""
        if self.code is None or self._saving or self.code.read_only:
            return
        source = self.code.text
        if self.place.key and not self.changed and not self.place.part:
            self.say("nothing was changed")
            return
        if (wrong := syntax_error(source)) is not None:
            self._show_error(*wrong)
            return
        self._saving = True
        self.say("saving …")
        if self.place.key and self.function is not None:
            name, revision = self.place.key, self.function.revision
            self.ask(
                "save",
                lambda client: client.functions.update(name, source=source, revision=revision),
                self._written, failed=self._refused, writes=True,
            )  # fmt: skip
        else:
            name = self.name_input.value.strip()
            self.ask(
                "save",
                lambda client: client.functions.add(name, source),
                self._written,
                failed=self._refused,
                writes=True,
            )

    def _written(self, written: Written) -> None:
        assert self.code is not None
        self._saving = False
        self._saved = self.code.text
        self.console.notice(
            f"{written.id}: version {written.version[:10]} is the default from now on"
        )
        self.console.trail.forget(("editor",))
        self.console.go(Place("function", written.id))

    def _refused(self, error: DtsError) -> None:
        self._saving = False
        text = str(error)
        if isinstance(error, ApiError) and error.answer_code == "conflict":
            text += " Someone saved it meanwhile: copy your text (y in the source view), reload, and try again."
        match = re.search(r"line (\d+)", text)
        self._show_error(int(match[1]) if match else 0, text)

    def _show_error(self, line: int, text: str) -> None:
        assert self.code is not None
        self.say(f"✗ {text}", "bad")
        if line:
            self.code.move_cursor((min(line, self.code.document.line_count) - 1, 0))
            self.code.focus()

    def left(self) -> None:
        """What was not saved is kept for the next time."""
        if self.code is None or self.code.read_only:
            return
        name = self.place.key
        if self.changed:
            self.console.unsaved[name] = self.code.text
            self.console.notice(
                "not saved; the text is kept and comes back with the editor", "warn"
            )
        else:
            self.console.unsaved.pop(name, None)

    def do_revert(self) -> None:
        """Back to what is stored."""
        if self.code is not None and not self.code.read_only:
            self.code.load_text(self._saved)
            self.console.unsaved.pop(self.place.key, None)
            self.say("all changes were taken back")
            self._title.redraw()

    # --- another editor -------------------------------------------------------------------------

    def do_external(self) -> None:
        """Edit in $VISUAL or $EDITOR; the console steps aside meanwhile."""
        if self.code is None or self.code.read_only:
            return
        try:
            text = edit_outside(self.code.text, "function.py", self.console.suspend)
        except EditorFailed as error:
            self.say(str(error), "bad")
            return
        if not editable(text):
            self.say("the text holds control characters: it was not taken over", "bad")
            return
        if text != self.code.text:
            self.code.load_text(text)
        self._title.redraw()

    def subject(self) -> dict[str, str]:
        """This function."""
        revision = str(self.function.revision) if self.function else ""
        return {"function": self.place.key or self.name_input.value, "revision": revision}

    def copied(self) -> str:
        """The text."""
        return self.code.text if self.code is not None else ""


def syntax_error(source: str) -> tuple[int, str] | None:
    """Line and reason when the source is not Python; the server looks at it again in any case.

    Of a folder of modules the first line says that it is one, and the server alone looks at it.
    """
    if source.startswith("dts bundle 1 "):
        return None
    try:
        compile(source, "function.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        return error.lineno or 1, f"line {error.lineno or 1}: {error.msg}"
    except ValueError as error:
        return 1, str(error)
    return None
