"""Names and ids."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core import names
from dts_core.errors import InvalidInput

GOOD = ["a", "noop", "sample", "a1", "a_b", "a.b", "deep.name_2.x", "z" * 120]
BAD = [
    "",
    "A",
    "1a",
    "_a",
    ".a",
    "a.",
    "a..b",
    "a.1",
    "a-b",
    "a b",
    "a/b",
    "a\n",
    "ä",
    "a\u0661",
    "a\x00",
    "../a",
    "z" * 121,
    "ａ",
]


@pytest.mark.parametrize("name", GOOD)
def test_good_names_are_accepted(name: str) -> None:
    """Dotted parts of lower-case letters, digits and underscores."""
    assert names.is_name(name)
    assert names.check_name(name) == name


@pytest.mark.parametrize("name", BAD)
def test_bad_names_are_refused_with_the_rule(name: str) -> None:
    """The field and the rule are named; the message stays short and printable."""
    assert not names.is_name(name)
    with pytest.raises(InvalidInput) as caught:
        names.check_name(name, what="namespace")
    assert list(caught.value.fields) == ["namespace"]
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


@given(st.text())
def test_only_what_matches_the_rule_is_a_name(text: str) -> None:
    """Nothing else, whatever it is."""
    part = "[a-z][a-z0-9_]*"
    matches = re.fullmatch(rf"{part}(\.{part})*", text, re.ASCII) is not None
    assert names.is_name(text) is (matches and len(text) <= 120)


def test_a_function_is_a_namespace_and_a_name() -> None:
    """One slash, a name on both sides."""
    assert names.split_function("sample/words.count") == ("sample", "words.count")
    for wrong in ("sample", "sample/", "/x", "a/b/c", "A/b", "a/B", "", "a//b", "a /b"):
        with pytest.raises(InvalidInput):
            names.split_function(wrong)


def test_host_names() -> None:
    """Letters, digits, dot, dash, underscore; neither dot nor dash at an end; no path, no control."""
    for good in ("a", "node-7", "10.0.0.1", "Host_A.example.org", "x" * 253):
        assert names.is_host(good)
    for wrong in ("", "-a", "a-", ".a", "a.", "a b", "a/b", "a\n", "\x1ba", "x" * 254, "ä"):
        assert not names.is_host(wrong)


def test_ids_are_ulids_that_sort_by_time() -> None:
    """26 characters of Crockford's alphabet, distinct, growing, with the time in front."""
    before = time.time_ns() // 1_000_000
    made = [names.new_id() for _ in range(10_000)]
    after = time.time_ns() // 1_000_000
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    assert all(len(one) == 26 and set(one) <= set(alphabet) for one in made)
    for one in (made[0], made[-1]):
        millisecond = 0
        for character in one[:10]:
            millisecond = millisecond * 32 + alphabet.index(character)
        assert before <= millisecond <= after


def test_a_clock_that_steps_back_does_not_disturb_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ids go on growing while the clock catches up."""
    first = names.new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000)
    second, third = names.new_id(), names.new_id()
    assert first < second < third
