"""The fields of a form: one line each, with what is wrong said while one types."""

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, TextArea

from dts_core.plain.cells import cut, pad
from dts_core.text import clean
from dts_tui.draw import Line, fit
from dts_tui.forms import Field, Form, key_of, shown
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.entry import Entry
from dts_tui.widgets.lines_entry import LINES_SHOWN, LinesEntry, SecretLines

LABEL = 20


class _Label(Drawn):
    DEFAULT_CSS = f"_Label {{ width: {LABEL}; height: 1; }}"

    def __init__(self, item: Field) -> None:
        super().__init__()
        self._item = item
        self.wrong = False

    def draw(self, width: int, height: int) -> list[Line]:
        """Its line."""
        star = "*" if self._item.required and not self._item.optional else " "
        return [
            [
                ("▌" if self.wrong else " ", "bad"),
                (pad(cut(clean(self._item.label), width - 4), width - 3), "strong"),
                (star, "warn"),
            ]
        ]


class _Help(Drawn):
    DEFAULT_CSS = "_Help { height: 1; }"

    def __init__(self, item: Field) -> None:
        super().__init__()
        self._item = item
        self.error = ""

    def draw(self, width: int, height: int) -> list[Line]:
        """Its line."""
        item = self._item
        lead = (" " * LABEL, "text")
        if self.error:
            return [fit([lead, (f"✗ {self.error}", "bad")], width)]
        parts: Line = [lead, (item.wants, "faint")]
        if item.unset and not item.start:
            parts.append((f", empty: {clean(item.unset)}", "faint"))
        if item.help:
            parts.append((f"  {clean(item.help)}", "dim"))
        return [fit(parts, width)]


class Cycle(Drawn):
    """One of several values: left and right change it, a first letter jumps to it."""

    can_focus = True
    DEFAULT_CSS = "Cycle { width: 1fr; height: 1; }"

    class Changed(Message):
        """Another value."""

    def __init__(self, choices: list[str], value: str) -> None:
        super().__init__()
        self.choices = choices
        self.value = value if value in choices else (choices[0] if choices else "")

    def draw(self, width: int, height: int) -> list[Line]:
        """Its line."""
        here = "tabon" if self.has_focus else "strong"
        if sum(len(choice) + 2 for choice in self.choices) <= width and len(self.choices) <= 6:
            return [
                [
                    (f"[{clean(choice) or '(default)'}]", here)
                    if choice == self.value
                    else (f" {clean(choice) or '(default)'} ", "dim")
                    for choice in self.choices
                ]
            ]
        at = self.choices.index(self.value) + 1
        return [
            [
                ("◀ ", "dim"),
                (f" {clean(self.value) or '(default)'} ", here),
                (" ▶ ", "dim"),
                (f"{at} of {len(self.choices)}", "faint"),
            ]
        ]

    def on_focus(self) -> None:
        """The chosen one shows that it has the keys."""
        self.redraw()

    def on_blur(self) -> None:
        """And that it has not."""
        self.redraw()

    def on_key(self, event: events.Key) -> None:
        """Left, right, space, or a first letter."""
        at = self.choices.index(self.value)
        if event.key in ("left", "right", "space"):
            at = (at + (-1 if event.key == "left" else 1)) % len(self.choices)
        elif event.is_printable and event.character:
            hits = [
                i
                for i, choice in enumerate(self.choices)
                if choice.casefold().startswith(event.character.casefold())
            ]
            if not hits:
                return
            at = next((i for i in hits if i > at), hits[0])
        else:
            return
        event.stop()
        event.prevent_default()
        self.value = self.choices[at]
        self.redraw()
        self.post_message(self.Changed())

    def on_click(self) -> None:
        """A click is the next one."""
        self.value = self.choices[(self.choices.index(self.value) + 1) % len(self.choices)]
        self.redraw()
        self.post_message(self.Changed())


class FieldRow(Vertical):
    """A field with its label, and below it its help or its error."""

    DEFAULT_CSS = """
    FieldRow { height: 2; width: 1fr; }
    FieldRow Horizontal { height: 1; }
    FieldRow Input { border: none; height: 1; padding: 0 1; width: 1fr; background: $surface; }
    FieldRow Input:focus { background: $primary 20%; }
    """

    class Edited(Message):
        """The text of a field changed."""

    class Done(Message):
        """Enter was pressed in a field."""

    def __init__(self, form: Form, item: Field) -> None:
        super().__init__()
        self.form, self.item = form, item
        self._label, self._help = _Label(item), _Help(item)
        self.control = self._control()
        self._touched = False
        self.extra = LINES_SHOWN - 1 if isinstance(self.control, LinesEntry) else 0
        """Lines that it takes beyond those of other fields."""

    def _control(self) -> Input | Cycle | LinesEntry | SecretLines:
        item, text = self.item, self.form.text(self.item)
        if item.lines:
            return SecretLines() if item.type == "secret" else LinesEntry(text)
        if item.type == "switch":
            return Cycle(
                (["true", "false"] if item.start or item.required else ["", "true", "false"]), text
            )
        if item.type == "choice":
            values = [shown(choice) for choice in item.choices]
            return Cycle(values if item.start or item.required else ["", *values], text)
        return Entry(text, secret=item.secret or item.type == "secret", select=True)

    def compose(self) -> ComposeResult:
        """Two lines."""
        with Horizontal() as line:
            line.styles.height = 1 + self.extra
            yield self._label
            yield self.control
        yield self._help

    def on_mount(self) -> None:
        """A choice stands on a value from the beginning."""
        self.styles.height = 2 + self.extra
        if isinstance(self.control, Cycle):
            self.form.set(self.item, self.control.value)

    def check(self, *, shout: bool = False) -> str:
        """What is wrong; a field nobody touched is not shouted at until one sends."""
        error = self.form.error(self.item)
        self._touched = self._touched or shout
        shows = error if self._touched else ""
        if (self._help.error, self._label.wrong) != (shows, bool(shows)):
            self._help.error, self._label.wrong = shows, bool(shows)
            self._help.redraw()
            self._label.redraw()
        return error

    def refuse(self, why: str) -> None:
        """Show what the server said about this field."""
        self._help.error, self._label.wrong = clean(why), True
        self._help.redraw()
        self._label.redraw()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Check while one types."""
        event.stop()
        if event.value != self.form.text(self.item):
            self._touched = True
        self.form.set(self.item, event.value)
        self.check()
        self.post_message(self.Edited())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """On to the next field."""
        event.stop()
        self._touched = True
        self.check()
        self.post_message(self.Done())

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Check while one types."""
        event.stop()
        self._typed(event.text_area.text)

    def on_secret_lines_changed(self, event: SecretLines.Changed) -> None:
        """It was pasted, or emptied."""
        event.stop()
        assert isinstance(self.control, SecretLines)
        self._typed(self.control.text)

    def _typed(self, text: str) -> None:
        if text != self.form.text(self.item):
            self._touched = True
            self.form.set(self.item, text)
            self.check()
            self.post_message(self.Edited())

    def on_cycle_changed(self, event: Cycle.Changed) -> None:
        """Another value."""
        event.stop()
        assert isinstance(self.control, Cycle)
        self.form.set(self.item, self.control.value)
        self.check()
        self.post_message(self.Edited())


class Send(Drawn):
    """The button at the end."""

    can_focus = True
    DEFAULT_CSS = "Send { height: 1; width: 1fr; }"

    def __init__(self, word: str = "Send") -> None:
        super().__init__()
        self._word = word

    class Pressed(Message):
        """Enter, space or a click."""

    wrong = 0

    def draw(self, width: int, height: int) -> list[Line]:
        """Its line."""
        style = "tabon" if self.has_focus else "key"
        note = f"{self.wrong} to mend above" if self.wrong else "or ctrl+s from any field"
        return [
            [
                (" " * LABEL, "text"),
                (f" {self._word} ", style),
                (f"   {note}", "warn" if self.wrong else "faint"),
            ]
        ]

    def on_focus(self) -> None:
        """It shows that it has the keys."""
        self.redraw()

    def on_blur(self) -> None:
        """And that it has not."""
        self.redraw()

    def on_key(self, event: events.Key) -> None:
        """Enter and space press it."""
        if event.key in ("enter", "space"):
            event.stop()
            self.post_message(self.Pressed())

    def on_click(self) -> None:
        """A click presses it."""
        self.post_message(self.Pressed())


class FormView(VerticalScroll):
    """All fields below one another; options folded away until asked for."""

    DEFAULT_CSS = """
    FormView { height: 1fr; scrollbar-size-vertical: 1; scrollbar-color: $primary; scrollbar-background: $background; }
    """
    can_focus = False

    def __init__(self, form: Form, yes: str = "Send") -> None:
        super().__init__()
        self.form = form
        self.rows = [FieldRow(form, item) for item in form.fields]
        self.send = Send(yes)
        self._airy = False
        self.unfolded = any(form.text(item) for item in form.fields if item.group == "options")

    def compose(self) -> ComposeResult:
        """Arguments, options, send."""
        for row in self.rows:
            row.display = row.item.group != "options" or self.unfolded
            yield row
        yield self.send

    def on_resize(self, event: events.Resize) -> None:
        """Where there is room, a line of air between the fields."""
        shown = [row for row in self.rows if row.display]
        airy = event.size.height >= sum(3 + row.extra for row in shown) + 1
        if airy is not self._airy:
            self._airy = airy
            for row in self.rows:
                row.styles.height = (3 if airy else 2) + row.extra

    def unfold(self) -> None:
        """Show or hide the options."""
        self.unfolded = not self.unfolded
        first = None
        for row in self.rows:
            if row.item.group == "options":
                row.display = self.unfolded
                first = first or row
        if self.unfolded and first is not None:
            first.control.focus()
        else:
            self.send.focus()

    def targets(self) -> list[Widget]:
        """What can have the keys, from top to bottom."""
        out: list[Widget] = [row.control for row in self.rows if row.display]
        return [*out, self.send]

    def step(self, by: int) -> None:
        """The next field, or the one before."""
        targets = self.targets()
        focused = self.screen.focused
        at = targets.index(focused) if focused in targets else -by
        targets[(at + by) % len(targets)].focus()

    def errors(self, *, shout: bool = False) -> int:
        """How many fields are wrong; with `shout`, go to the first one."""
        wrong = [row for row in self.rows if row.check(shout=shout)]
        if shout and wrong:
            if not wrong[0].display:
                self.unfold()
            wrong[0].control.focus()
        self.send.wrong = len(wrong) if shout or self.send.wrong else 0
        self.send.redraw()
        return len(wrong)

    def refuse(self, fields: dict[str, str]) -> bool:
        """Show the server's reasons at their fields; False when none of them is here."""
        hit = False
        for row in self.rows:
            for name, why in fields.items():
                if name in (key_of(row.item), row.item.name, f"kwargs.{row.item.name}"):
                    row.refuse(why)
                    if not hit:
                        row.control.focus()
                    hit = True
        return hit

    def on_field_row_edited(self) -> None:
        """The count at the button follows."""
        if self.send.wrong:
            self.errors()

    def on_field_row_done(self) -> None:
        """On to the next field."""
        self.step(1)

    def on_key(self, event: events.Key) -> None:
        """Tab, shift+tab, up and down move among the fields."""
        steps = {"tab": 1, "down": 1, "shift+tab": -1, "up": -1}
        focused = self.screen.focused
        if isinstance(focused, LinesEntry) and not focused.leaves(event.key):
            return
        if event.key == "enter" and isinstance(focused, Cycle | SecretLines):
            self.step(1)
        elif event.key in steps:
            self.step(steps[event.key])
        else:
            return
        event.stop()
        event.prevent_default()
