"""The two gates between foreign text and the terminal.

`safe` makes what is drawn; `CleanFilter` cleans every segment of every line that Textual is about
to write, whatever drew it.
"""

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from dts_core.plain.glyphs import to_ascii
from dts_core.text import SafeText, clean, clean_lines, is_safe

CLIPBOARD_MAX = 74_994
"""Most bytes sent to the clipboard: above it, terminals drop the sequence (OSC 52) in silence."""
EXPORT_MAX = 64 << 20
"""Most characters written by one export."""


def safe(text: object, limit: int = 4096) -> SafeText:
    """Anything as one printable line."""
    return clean(text if isinstance(text, str) else str(text), limit)


def whole(text: str) -> SafeText:
    """A text cleaned without being shortened: the longest visible form of a character has ten."""
    return clean(text, 10 * len(text) + 1)


def safe_lines(text: str) -> list[str]:
    """A text of several lines as printable lines."""
    return clean_lines(text).split("\n")


def editable(text: str) -> bool:
    """Whether a text can be shown in an editor without a change: no controls but line feeds and tabs."""
    return is_safe(text.replace("\n", "").replace("\t", ""))


class CleanFilter(LineFilter):
    """The backstop.

    No segment leaves with a control in it. Runs last, after measuring: it protects, it does not
    lay out.
    """

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._ascii = ascii_only

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Clean what needs it and leave the rest as it is."""
        del background
        if not self._ascii and all(control or is_safe(text) for text, _, control in segments):
            return segments
        return [
            segment if segment.control else Segment(self._cleaned(segment.text), segment.style)
            for segment in segments
        ]

    def _cleaned(self, text: str) -> str:
        text = whole(text)
        return to_ascii(text) if self._ascii else text
