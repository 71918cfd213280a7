"""What the terminal sends: whatever is pasted is text, and no byte ends the console."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.drivers import linux_driver

from dts_tui import keyboard
from dts_tui.keyboard import END, START, CalmParser, Pastes


def pieces(data: str, cuts: list[int]) -> list[str]:
    """The data cut at these places."""
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


hostile = st.text(st.sampled_from("\x1b[201~20\rCx\x9b"), max_size=40).filter(
    lambda text: END not in text and not any(text.endswith(END[:n]) for n in range(1, 6))
)


@given(hostile, st.lists(st.integers(0, 80), max_size=10))
def test_a_paste_is_one_paste_wherever_it_is_cut(text: str, cuts: list[int]) -> None:
    """From any text, in any pieces, comes one Paste with its escapes visible, and no key but those around it."""
    parser = CalmParser()
    heard: list[Any] = []
    for piece in pieces(f"a{START}{text}{END}b", cuts):
        heard += parser.feed(piece)
    kinds = [type(each) for each in heard]
    assert kinds == [events.Key, events.Paste, events.Key]
    assert [each.key for each in heard if isinstance(each, events.Key)] == ["a", "b"]
    assert heard[1].text == text.replace("\x1b", "\\x1b")


@given(st.text(st.sampled_from("\x1b[A0~m;\rx"), max_size=40), st.lists(st.integers(0, 40)))
def test_what_is_no_paste_passes_as_it_is(text: str, cuts: list[int]) -> None:
    """Keys and mouse are not touched."""
    pastes = Pastes()
    if START not in text:
        assert "".join(pastes.calm(piece) for piece in pieces(text, cuts)) == text


def test_no_byte_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no UTF-8 becomes one odd character each, and the driver reads with that decoder."""
    names: dict[str, Any] = vars(linux_driver)
    for name in ("XTermParser", "getincrementaldecoder"):
        monkeypatch.setitem(names, name, names[name])
    keyboard.guard()
    keyboard.guard()
    decoder = names["getincrementaldecoder"]("utf-8")()
    assert decoder.decode(b"a\xff\x9bb\xc3") + decoder.decode(b"\xa9") == "a\ufffd\ufffdb\xe9"
    assert names["XTermParser"] is CalmParser
