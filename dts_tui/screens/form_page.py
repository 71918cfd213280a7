"""A screen with a form: its title above, and below what the field with the keys is for."""

from textual import events
from textual.app import ComposeResult
from textual.widget import Widget

from dts_core.errors import ApiError, DtsError
from dts_core.text import clean
from dts_tui.admin_documents import text_of
from dts_tui.admin_form import DocumentForm, at_field
from dts_tui.draw import Line, fit, wrap
from dts_tui.screens.base import Place, View
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.form import FieldRow, FormView, Send

FOOT_LINES = 2
FOOT_LINES_NARROW = 3
NARROW = 100
"""Columns below which the foot gets a line more."""


class _Title(Drawn):
    DEFAULT_CSS = "_Title { height: 1; }"

    def __init__(self, page: "FormPage") -> None:
        super().__init__()
        self._page = page

    def draw(self, width: int, height: int) -> list[Line]:
        return self._page.title(width)


class _Foot(Drawn):
    """What the field with the keys is for, in full."""

    DEFAULT_CSS = "_Foot { height: 2; }"
    text = error = ""

    def draw(self, width: int, height: int) -> list[Line]:
        text, style = (f"✗ {self.error}", "bad") if self.error else (self.text, "dim")
        return [fit([(" " + line, style)], width) for line in wrap(text, width - 2)[:height]]

    def say(self, text: str, error: str = "") -> None:
        self.text, self.error = text, error
        self.redraw()


class FormPage(View):
    """What is typed is checked at once; `send_form` gets it when it fits."""

    STORES = "store-document"
    """Name of the action that sends the form, with the guard of its permission."""
    YES = "Save"
    AWAITED = True

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.form: DocumentForm | None = None
        self.fields: FormView | None = None
        self.missing = ""
        """Why there is no form."""
        self.sending = False
        self.head, self.foot = _Title(self), _Foot()

    # --- what is made from it -------------------------------------------------------------------

    def title(self, width: int) -> list[Line]:
        """What is made or changed."""
        raise NotImplementedError

    def send_form(self, form: DocumentForm) -> None:
        """Every field fits: send it, and answer with `sent` or `refused`."""
        raise NotImplementedError

    # --- drawing --------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """The fields follow when they are known."""
        yield self.head
        yield self.foot

    def on_resize(self, event: events.Resize) -> None:
        """Where lines are short, the help has one more."""
        self.foot.styles.height = FOOT_LINES_NARROW if event.size.width < NARROW else FOOT_LINES

    def main(self) -> Widget | None:
        """The first field."""
        return self.fields.targets()[0] if self.fields is not None else None

    def waiting(self) -> list[Line]:
        """While there is no form."""
        return [[(" " + (self.missing or "asking …"), "bad" if self.missing else "dim")]]

    def show_form(self, form: DocumentForm) -> None:
        """Put the fields of this form on the screen."""
        self.form = form
        if self.fields is not None:
            self.fields.remove()
        self.fields = FormView(form, self.YES)
        self.mount(self.fields, before=self.foot)
        self.head.redraw()
        self.call_after_refresh(self._focus)

    def _focus(self) -> None:
        if self.console.view is self and self.console.overlay is None:
            self.console.give_focus()
        self.console.opened(self)

    # --- typing ---------------------------------------------------------------------------------

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The foot tells of the field."""
        row = next((each for each in event.widget.ancestors if isinstance(each, FieldRow)), None)
        self.foot.say("" if row is None else told_of(row))

    def on_field_row_edited(self) -> None:
        """The title counts what was changed; what was refused is being mended."""
        self.head.redraw()
        if self.foot.error:
            self.foot.say(self.foot.text)

    def do_next_tab(self) -> None:
        """The next field."""
        if self.fields is not None:
            self.fields.step(1)

    # --- sending --------------------------------------------------------------------------------

    def on_send_pressed(self, event: Send.Pressed) -> None:
        """As ctrl+s, with the same guard."""
        event.stop()
        self.console.run_named(self.STORES)

    def store(self) -> None:
        """Check, then send."""
        form = self.form
        if self.fields is None or form is None or self.sending or self.fields.errors(shout=True):
            return
        self.send_form(form)

    def refused(self, error: DtsError) -> None:
        """The server's reasons stand at their fields; what fits none is said in full at the foot."""
        self.sending = False
        if not isinstance(error, ApiError) or self.form is None or self.fields is None:
            self.console.notice(str(error), "bad")
            return
        fields = at_field(self.reasons(error), self.form)
        shown = bool(fields) and self.fields.refuse(fields)
        rest = {name: why for name, why in fields.items() if name not in self.form.texts}
        if rest or not shown:
            more = "; ".join(f"{name}: {why}" for name, why in rest.items())
            self.foot.say(self.foot.text, clean(f"{error}{f' ({more})' if more else ''}", 600))

    def reasons(self, error: ApiError) -> dict[str, str]:
        """Why, by field."""
        return dict(error.fields)


def told_of(row: FieldRow) -> str:
    """A field's name, kind, help and choices in one text."""
    item = row.item
    needed = ", needed" if item.required else ""
    choices = (
        f" One of {', '.join(text_of(each) for each in item.choices)}." if item.choices else ""
    )
    return clean(f"{item.label} ({item.wants}{needed}): {item.help}{choices}", 600)
