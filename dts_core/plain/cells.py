"""Text measured in terminal cells."""

from typing import Literal

from rich.cells import cell_len, set_cell_size

Align = Literal["left", "right"]


def cells(text: str) -> int:
    """Cells a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells; what is cut off shows as an ellipsis."""
    if width <= 0:
        return ""
    if cells(text) <= width:
        return text
    if width == 1:
        return "…"
    return set_cell_size(text, width - 1) + "…"


def pad(text: str, width: int, align: Align = "left") -> str:
    """`text` in exactly `width` cells."""
    text = cut(text, width)
    space = " " * (width - cells(text))
    return text + space if align == "left" else space + text
