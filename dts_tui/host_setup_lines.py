"""Kinds of lines that a set-up is told in. No Textual here."""

from collections.abc import Sequence

from dts_tui.draw import Line, pairs, wrap


def text_lines(text: str, width: int, style: str = "text") -> list[Line]:
    """A text, folded."""
    return [[(" " + line, style)] for line in wrap(text, max(width - 2, 10))]


def advice_lines(text: str, width: int) -> list[Line]:
    """What to do: a sentence for each key that helps."""
    return [line for each in text.split("\n") for line in text_lines(each, width, "accent")]


def told_lines(items: Sequence[tuple[str, str, str]], width: int) -> list[Line]:
    """(name, value, style), a line each where there is room."""
    return [[(" ", "text"), *line] for line in pairs(items, width - 1)]
