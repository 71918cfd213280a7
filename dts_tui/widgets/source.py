"""Source code: shown with highlighting, or edited."""

from rich.style import Style
from textual import events
from textual.widgets import TextArea
from textual.widgets.text_area import TextAreaTheme

from dts_tui.themes import Colours


def code_theme(name: str, c: Colours) -> TextAreaTheme:
    """Our colours for code."""
    return TextAreaTheme(
        name=f"dts-{name}",
        base_style=Style(color=c.text, bgcolor=c.back),
        gutter_style=Style(color=c.faint, bgcolor=c.back),
        cursor_style=Style(color=c.back, bgcolor=c.text),
        cursor_line_style=Style(bgcolor=c.raised),
        cursor_line_gutter_style=Style(color=c.dim, bgcolor=c.raised),
        selection_style=Style(bgcolor=c.cursor),
        bracket_matching_style=Style(bgcolor=c.cursor, bold=True),
        syntax_styles={
            "string": Style(color=c.good),
            "string.documentation": Style(color=c.good, italic=True),
            "comment": Style(color=c.dim, italic=True),
            "keyword": Style(color=c.accent, bold=True),
            "keyword.function": Style(color=c.accent, bold=True),
            "keyword.return": Style(color=c.accent, bold=True),
            "keyword.operator": Style(color=c.accent),
            "conditional": Style(color=c.accent, bold=True),
            "repeat": Style(color=c.accent, bold=True),
            "exception": Style(color=c.accent, bold=True),
            "include": Style(color=c.accent, bold=True),
            "operator": Style(color=c.dim),
            "number": Style(color=c.busy),
            "float": Style(color=c.busy),
            "boolean": Style(color=c.warn),
            "constant.builtin": Style(color=c.warn),
            "function": Style(color=c.text, bold=True),
            "function.call": Style(color=c.busy),
            "method.call": Style(color=c.busy),
            "class": Style(color=c.warn, bold=True),
            "type": Style(color=c.warn),
            "type.class": Style(color=c.warn, bold=True),
            "type.builtin": Style(color=c.warn),
            "parameter": Style(color=c.text, italic=True),
            "punctuation.bracket": Style(color=c.dim),
            "punctuation.delimiter": Style(color=c.dim),
        },
    )


def indentation(before: str) -> str:
    """What a line begins with that follows this one, or this part of one."""
    own = before[: len(before) - len(before.lstrip(" \t"))]
    return own + "    " if before.rstrip().endswith(":") else own


class Code(TextArea):
    """A text with line numbers, Python unless another language is named; esc is left to the console."""

    DEFAULT_CSS = """
    Code {
        border: none; padding: 0; height: 1fr; width: 1fr;
        scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1;
        scrollbar-color: $surface-lighten-2; scrollbar-background: $background;
        scrollbar-color-hover: $primary; scrollbar-background-hover: $background;
        scrollbar-color-active: $primary; scrollbar-background-active: $background;
        scrollbar-corner-color: $background;
    }
    """

    def __init__(
        self,
        text: str,
        colours: Colours,
        theme: str,
        *,
        read_only: bool,
        language: str | None = "python",
    ) -> None:
        super().__init__(
            "",
            language=language,
            soft_wrap=False,
            tab_behavior="indent",
            read_only=read_only,
            show_line_numbers=True,
            show_cursor=True,
        )
        self.cursor_blink = False
        code = code_theme(theme, colours)
        self.register_theme(code)
        self.theme = code.name
        self.load_text(text)

    def on_key(self, event: events.Key) -> None:
        """A new line begins where the one before does; ctrl+home and ctrl+end go to the ends; esc is the console's."""
        if event.key == "escape":
            event.prevent_default()
        elif event.key in ("ctrl+home", "ctrl+end"):
            event.stop()
            event.prevent_default()
            self.move_cursor((0, 0) if event.key == "ctrl+home" else self.document.end)
        elif event.key == "enter" and not self.read_only:
            event.stop()
            event.prevent_default()
            start, end = sorted(self.selection)
            before = self.document[start[0]][: start[1]]
            self.replace("\n" + indentation(before), start, end, maintain_selection_offset=False)

    @property
    def page(self) -> int:
        """Lines that are seen at once."""
        return max(self.size.height, 1)

    def move(self, by: int) -> None:
        """Move the cursor by lines, stopping at the ends."""
        row, column = self.cursor_location
        self.move_cursor((min(max(row + by, 0), self.document.line_count - 1), column))
