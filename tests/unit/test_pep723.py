"""The script block of a source: what it declares, and what is said of a wrong one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.errors import FunctionRefused
from dts_core.pep723 import Script, _blocks, read_script, refuse_unclosed
from dts_core.services.signature import read_source

MAIN = "def main(): return 1\n"
BLOCK = """# /// script
# requires-python = ">= 3.11"
# dependencies = [
#   "Requests<3,>=2",
#   "rich",
#   'rich',
#   "tomli ; python_version < '3.11'",
# ]
#
# [tool.other]
# key = 1
# ///
"""
SPECIFIED = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
"""The expression that the specification itself gives."""
LINES = st.sampled_from(
    ["# /// script", "# /// other", "# ///", "# /// ", "#", "# a = 1", "#a", "", "x = 1", " # ///"]
)


def script(text: str) -> str:
    return "".join(f"# {line}\n" for line in ["/// script", *text.splitlines(), "///"])


def test_a_block_is_read_and_normalised() -> None:
    """Names, order, repetition and spelling make no difference; other tables are left alone."""
    assert read_script(BLOCK + MAIN) == Script(
        ">=3.11", ["requests<3,>=2", "rich", 'tomli; python_version < "3.11"']
    )


def test_a_source_without_a_block_declares_nothing() -> None:
    """Neither does one with a block of another type, an empty one, or one that is never closed."""
    for source in (MAIN, "# /// other\n# a = 1\n# ///\n", "# /// script\n# ///\n", BLOCK[:-6]):
        assert read_script(source) is None


def test_line_ends_of_other_systems_are_understood() -> None:
    """A file saved with CR LF declares what it shows."""
    assert read_script(BLOCK.replace("\n", "\r\n")) == read_script(BLOCK)


@given(st.lists(LINES, max_size=14))
def test_blocks_are_those_of_the_specification(lines: list[str]) -> None:
    """Our reader, which is linear, finds what the specification's expression finds."""
    source = "\n".join(lines)
    expected = [
        (match["type"], source.count("\n", 0, match.start()) + 1)
        for match in SPECIFIED.finditer(source)
    ]
    assert [(each.type, each.line) for each in _blocks(source) if each.content] == expected


def test_a_huge_run_of_openings_is_read_at_once() -> None:
    """A mebibyte of openings without an end costs one pass, not one pass each."""
    assert read_script("# /// script\n" * 80_000) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('dependencies = ["ok", "no good!"]', "line 2: 'no good!' is no requirement"),
        ('dependencies = [\n"a b"\n]', "line 3: 'a b' is no requirement"),
        ("dependencies = 'rich'", "line 2: dependencies must be a list"),
        ("dependencies = [1]", "line 2: each dependency is text"),
        ("a = 1\nrequires-python = '3.11 or so'", "line 3: requires-python: '3.11 or so' is no"),
        ("requires-python = 3.11", "line 2: requires-python must be text"),
        ("a = 1\nb = = 2", "line 3: not TOML: "),
        ("a = " + "[" * 5_000, "line "),
        ("a = '" + "x" * 70_000 + "'", "line 1: it has more than"),
        ('dependencies = ["--index-url=evil"]', "is no requirement"),
        (f"dependencies = {['rich'] * 201}", "more than 200 dependencies"),
    ],
)
def test_a_wrong_block_names_line_and_reason(text: str, told: str) -> None:
    """The author finds the place without counting."""
    with pytest.raises(FunctionRefused) as caught:
        read_script(script(text))
    assert told in caught.value.message
    assert caught.value.advice


def test_every_mistake_of_a_block_is_told_at_once() -> None:
    """One round, not one for each."""
    with pytest.raises(FunctionRefused, match=r"line 2: requires-python.*line 3: 'a b'"):
        read_script(script("requires-python = 'x'\ndependencies = ['a b']"))


def test_a_second_block_is_refused() -> None:
    """The specification asks for an error, and for no guess which counts."""
    with pytest.raises(FunctionRefused, match="line 14: a second block; the first is at line 1"):
        read_script(BLOCK + "\n" + BLOCK)


def test_an_author_hears_of_a_block_without_an_end() -> None:
    """It would have no effect, which nobody means."""
    with pytest.raises(FunctionRefused, match="line 1: the block has no closing line"):
        refuse_unclosed(BLOCK[:-6] + MAIN)
    with pytest.raises(FunctionRefused, match="no closing line"):
        read_source(BLOCK[:-6] + MAIN)
    refuse_unclosed(BLOCK + MAIN)


def test_a_version_keeps_what_its_source_declares() -> None:
    """The reading of a source carries it."""
    reading = read_source(BLOCK + MAIN)
    assert reading.requires_python == ">=3.11"
    assert reading.dependencies[0] == "requests<3,>=2"


@pytest.mark.parametrize(
    ("wanted", "fits"), [("", True), (">=3.11", True), ("<3.11", False), ("==3.11.*", True)]
)
def test_a_python_fits_or_not(wanted: str, fits: bool) -> None:
    """As specifiers are compared everywhere."""
    assert Script(wanted).fits("3.11.7") is fits
    assert (
        Script(wanted).fits("3.11.7+") is fits
    )  # built from newer sources than those of that release
