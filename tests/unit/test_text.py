"""The sanitiser: nothing that a terminal would obey gets through, whatever comes in."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core import text

HOSTILE = {
    "osc 52": "\x1b]52;c;ZXZpbA==\x07",
    "title": "\x1b]0;title\x1b\\",
    "clear": "\x1b[2J",
    "c1 csi": "\x9b2J",
    "bidi": "abc\u202edcba",
    "isolate": "\u2066x\u2069",
    "zero width": "a\u200bb\u200dc\u2060",
    "bom": "\ufeffx",
    "separators": "a\u2028b\u2029c\x85d",
    "carriage return": "safe\revil",
    "backspace": "ab\x08c",
    "nul": "a\x00b",
    "surrogate": "a\ud800b",
    "tags": "a\U000e0041b",
    "variation": "a\ufe0fb\U000e0101",
    "soft hyphen": "a\xadb",
    "hangul filler": "a\u3164b\u115f",
    "interlinear": "a\ufff9b",
    "del": "a\x7fb",
}
anything = st.text(st.characters())
PRINTED_FORMAT = set(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
"""Format characters that are drawn: number signs and the like."""


def is_obeyed(character: str) -> bool:
    """Whether a terminal or a reader's eye would obey this character instead of showing it."""
    category = unicodedata.category(character)
    if category in ("Cc", "Cs", "Zl", "Zp"):
        return True
    return category == "Cf" and character not in PRINTED_FORMAT


@pytest.mark.parametrize("name", HOSTILE)
def test_known_tricks_become_visible(name: str) -> None:
    """What was hidden is shown as an escape; nothing is silently dropped."""
    shown = text.clean(HOSTILE[name])
    assert text.is_safe(shown)
    assert not any(is_obeyed(character) for character in shown)
    assert "\\" in shown


def test_every_control_is_caught() -> None:
    """No code point that a terminal or a reader would obey passes, each looked at by itself."""
    passed = [
        f"U+{code:04X}"
        for code in range(sys.maxunicode + 1)
        if is_obeyed(chr(code)) and text.is_safe(chr(code))
    ]
    assert passed == []


@given(anything)
def test_no_output_holds_a_forbidden_code_point(raw: str) -> None:
    """From any text, every way of cleaning gives printable text."""
    for shown in (text.clean(raw), text.one_line(raw), *text.clean_lines(raw).split("\n")):
        assert text.is_safe(shown)
        assert not any(is_obeyed(character) for character in shown)


@given(anything)
def test_cleaning_twice_is_cleaning_once(raw: str) -> None:
    """Ingest and render may both clean: the second time changes nothing."""
    once = text.clean(raw)
    assert text.clean(once) == once
    lines = text.clean_lines(raw)
    assert text.clean_lines(lines) == lines


@given(st.text(st.characters(exclude_categories=["C", "Z", "M"]) | st.just(" ")))
def test_plain_text_is_left_as_it_is(raw: str) -> None:
    """Letters, digits, marks and symbols of every script are shown as they are."""
    if text.is_safe(raw):
        assert text.clean(raw) == raw


@given(anything, st.integers(0, 300))
def test_a_line_is_never_longer_than_its_limit(raw: str, limit: int) -> None:
    """Escapes count too; what is left out is counted at the end; again changes nothing."""
    shown = text.clean(raw * 20, limit)
    assert len(shown) <= limit
    assert text.clean(shown, limit) == shown
    if limit >= 16 and text.is_safe(raw) and len(raw * 20) > limit:
        kept = limit - 16
        assert shown == f"{(raw * 20)[:kept]}… (+{len(raw * 20) - kept})"


def test_a_line_of_a_megabyte_stays_small() -> None:
    """The cap holds for text that is all escapes, where each character becomes several."""
    for raw in ("x" * (1 << 20), "\x1b" * (1 << 20)):
        assert len(text.clean(raw)) <= text.LINE_MAX
        assert len(text.one_line(raw)) <= 200


@given(anything, st.integers(0, 200), st.integers(40, 60))
def test_a_block_is_cut_by_length_and_by_line(raw: str, limit: int, line_limit: int) -> None:
    """Neither one endless line nor endlessly many lines; again changes nothing."""
    shown = text.clean_lines(raw * 30, limit, line_limit)
    assert len(shown) <= limit
    assert all(len(line) <= line_limit for line in shown.split("\n"))
    assert text.clean_lines(shown, limit, line_limit) == shown


def test_line_feeds_divide_and_carriage_returns_do_not() -> None:
    """CR LF is one line's end; a lone CR, which would overwrite the line, is shown."""
    assert text.clean_lines("a\r\nb\nc\rd").split("\n") == ["a", "b", "c\\x0dd"]
    assert text.clean("a\tb") == "a    b"


def test_a_cell_shows_the_first_line() -> None:
    """Leading blank space does not hide the message."""
    assert text.one_line("\n  first\nsecond") == "first"
    assert text.one_line("") == ""


def test_markup_is_only_text() -> None:
    """Square brackets are no control here: whoever renders must not interpret them."""
    raw = "[@click=app.quit]x[/b]"
    assert text.clean(raw) == raw
