"""The line at the bottom where commands and filters are typed."""

from collections.abc import Callable

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from dts_tui.draw import Line, fit
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.entry import Entry
from dts_tui.widgets.frame import Footer

HISTORY_MAX = 100


class _Sign(Drawn):
    DEFAULT_CSS = "_Sign { width: auto; min-width: 2; max-width: 12; height: 1; }"
    text = ""

    def draw(self, width: int, height: int) -> list[Line]:
        return [[(f" {self.text}{self._gap}", "key")]]

    def get_content_width(self, container: object, viewport: object) -> int:
        return len(self.text) + 1 + len(self._gap)

    @property
    def _gap(self) -> str:
        """A word stands apart from what is typed, a colon does not."""
        return " " if self.text.isalpha() else ""


class _Hints(Drawn):
    DEFAULT_CSS = "_Hints { height: 1; }"
    words: list[str] = []
    error = ""

    def draw(self, width: int, height: int) -> list[Line]:
        if self.error:
            return [fit([(" " + self.error, "bad")], width)]
        out: Line = [(" ", "text")]
        for index, word in enumerate(self.words):
            out.append((word + "  ", "accent" if index == 0 else "dim"))
        return [fit(out, width)]


class Prompt(Vertical):
    """Takes one line: a command, a filter or a search. Up and down go through what was typed before, tab completes."""

    DEFAULT_CSS = """
    Prompt { height: 2; display: none; background: $background; }
    Prompt Horizontal { height: 1; }
    Prompt Input { border: none; height: 1; padding: 0; background: $background; width: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._history: dict[str, list[str]] = {}
        self._kind = ""
        self._back = 0
        self._complete: Callable[[str], list[str]] = lambda text: []
        self._check: Callable[[str], str] = lambda text: ""
        self._then: Callable[[str], None] = lambda text: None
        self._live: Callable[[str], None] | None = None

    def compose(self) -> ComposeResult:
        """Hints above, the line below."""
        yield _Hints()
        with Horizontal():
            yield _Sign()
            yield Entry()

    @property
    def input(self) -> Input:
        """Where one types."""
        return self.query_one(Input)

    def ask(
        self,
        kind: str,
        sign: str,
        text: str,
        then: Callable[[str], None],
        *,
        complete: Callable[[str], list[str]] | None = None,
        check: Callable[[str], str] | None = None,
        live: Callable[[str], None] | None = None,
    ) -> None:
        """Open the line.

        Args:
            kind: Whose history it is.
            sign: Stands before the line.
            text: What stands in it at first.
            then: Gets the line when enter is pressed.
            complete: Whole lines that the present one may become, best first.
            check: What is wrong with the line; empty when nothing is.
            live: Gets every line that is not wrong, while one types.
        """
        self._kind, self._then, self._live, self._back = kind, then, live, 0
        self._complete = complete or (lambda text: [])
        self._check = check or (lambda text: "")
        self.query_one(_Sign).text = sign
        self.query_one(_Sign).refresh(layout=True)
        self._fold(False)
        self.input.value = text
        self.input.cursor_position = len(text)
        self.screen.set_focus(self.input)
        self._hint(text)

    def close(self) -> None:
        """Fold the line away."""
        self._fold(True)

    def complete_again(self) -> None:
        """More is known by now of what the line may become."""
        if self.display:
            self._hint(self.input.value)

    def _fold(self, away: bool) -> None:
        self.display = not away
        footer = self.screen.query_one(Footer)
        footer.typing = not away
        footer.redraw()

    def _hint(self, text: str) -> None:
        hints = self.query_one(_Hints)
        hints.error = self._check(text)
        hints.words = [] if hints.error else self._complete(text)[:12]
        hints.redraw()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say at once what is wrong, or what could follow."""
        event.stop()
        if not self.display:
            return
        self._hint(event.value)
        if self._live is not None and not self.query_one(_Hints).error:
            self._live(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Remember the line and hand it on."""
        event.stop()
        if self.query_one(_Hints).error:
            return
        text = event.value.strip()
        if text:
            history = self._history.setdefault(self._kind, [])
            if text in history:
                history.remove(text)
            history.append(text)
            del history[:-HISTORY_MAX]
        self.close()
        self._then(text)

    def on_key(self, event: events.Key) -> None:
        """Tab completes, up and down recall."""
        if event.key == "tab":
            words = self._complete(self.input.value)
            if words:
                self._set(words[0])
        elif event.key in ("up", "down"):
            history = self._history.get(self._kind, [])
            self._back = min(max(self._back + (1 if event.key == "up" else -1), 0), len(history))
            self._set(history[-self._back] if self._back else "")
        else:
            return
        event.stop()
        event.prevent_default()

    def _set(self, text: str) -> None:
        self.input.value = text
        self.input.cursor_position = len(text)
