"""What a login asks: its prompts, each with a line for the answer, which is masked unless the host wants it seen."""

from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.widgets import Input

from dts_core.model import Wording
from dts_core.plain.ssh import asked_by
from dts_tui.draw import Line, box, wrap
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.entry import Entry
from dts_tui.widgets.overlays import Overlay

WIDTH_MOST = 90
TEXT_LINES = 6
"""Most lines of what a host says above its prompts."""


class _Words(Drawn):
    def __init__(self, make: Callable[[int, int], list[Line]]) -> None:
        super().__init__()
        self._make = make

    def draw(self, width: int, height: int) -> list[Line]:
        return self._make(width, height)


class Asked(Overlay):
    """Answers are handed on once and kept nowhere; `esc` refuses the question.

    Args:
        wording: What is asked.
        left: What is said of the time that is left.
        shares: Whether the answer can be given for other hosts too.
        answer: Called with the answers, and whether they are for all hosts that ask with these words.
        refuse: Called when there is none.
    """

    def __init__(
        self,
        wording: Wording,
        left: Callable[[], str],
        *,
        shares: bool,
        answer: Callable[[Sequence[str], bool], None],
        refuse: Callable[[], None],
    ) -> None:
        super().__init__()
        self._wording, self._left, self._shares = wording, left, shares
        self._answer, self._refuse = answer, refuse
        self._for_all = False
        self.face = _Words(self._draw)
        self._entries = [
            Entry(hint=prompt.text, secret=not prompt.echo) for prompt in wording.prompts
        ]

    def compose(self) -> ComposeResult:
        """The box, and a line for each prompt."""
        yield self.face
        yield from self._entries

    def on_mount(self) -> None:
        """Take the room that it needs, and the keys."""
        width = min(self.screen.size.width - 4, WIDTH_MOST)
        height = len(self._told(width)) + len(self._wording.prompts) + 5 + self._shares
        self.face.styles.height = height
        self.centre(width, height + len(self._entries))
        self.screen.set_focus(self._entries[0])
        self.set_interval(1.0, self.face.redraw)

    def _told(self, width: int) -> list[str]:
        return wrap(asked_by(self._wording), width - 4)[:TEXT_LINES]

    def _draw(self, width: int, height: int) -> list[Line]:
        body: list[Line] = [[(text, "strong")] for text in self._told(width)]
        body += [[(f"  {prompt.text}", "accent")] for prompt in self._wording.prompts]
        body.append([])
        if self._shares:
            mark = "■" if self._for_all else "□"
            words = f"{mark} the same answer for every host that asks with these words"
            body.append([(words, "text"), ("  ctrl+t", "key")])
        keys: Line = [("enter", "key"), (" answers  ", "dim"), ("esc", "key"), (" refuses", "dim")]
        body.append(keys)
        left: Line = [(self._left(), "dim")]
        return box(body, [("a login asks", "warn")], left, width, height, "warn")

    def on_key(self, event: events.Key) -> None:
        """Refuse, go up and down, or turn the switch."""
        if event.key in ("escape", "ctrl+q"):
            event.stop()
            self._forget()
            self.close()
            self._refuse()
        elif event.key in ("up", "shift+tab", "down", "tab"):
            event.stop()
            event.prevent_default()
            self._step(-1 if event.key in ("up", "shift+tab") else 1)
        elif event.key == "ctrl+t" and self._shares:
            event.stop()
            self._for_all = not self._for_all
            self.face.redraw()

    def _step(self, by: int) -> None:
        at = next((n for n, entry in enumerate(self._entries) if entry.has_focus), 0)
        self.screen.set_focus(self._entries[(at + by) % len(self._entries)])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """On to the next line; behind the last one it is sent."""
        event.stop()
        if event.input is not self._entries[-1]:
            self._step(1)
            return
        answers = [entry.value for entry in self._entries]
        self._forget()
        self.close()
        self._answer(answers, self._for_all)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Typing is nobody else's."""
        event.stop()

    def _forget(self) -> None:
        for entry in self._entries:
            entry.value = ""
