"""The beginning of a large result: bounded whatever its shape, exact where nothing is left out."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.views import JobView
from dts_tui import job_text
from dts_tui.clip import CLIP, clipped

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text(max_size=20),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
)


def job_with(result: Any) -> JobView:
    return JobView(
        id="J1",
        function="test/large",
        version="0" * 64,
        state="done",
        submitter="ann",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        result=result,
        result_size=len(msgspec.json.encode(result)),
    )


def shown(job: JobView) -> str:
    return "\n".join("".join(text for text, _ in line) for line in job_text.result_lines(job))


@given(value=VALUES, most=st.integers(1, 400))
def test_what_is_left_stands_as_it_stood(value: Any, most: int) -> None:
    """A value with room enough is itself; a clipped one is short, of the same kind, and said to be cut."""
    text = msgspec.json.encode(value)
    found, is_cut = clipped(value, most)
    assert type(found) is type(value)
    assert is_cut or found == value
    assert clipped(value, 9 * len(text) + 9) == (value, False)
    assert len(str(found)) <= 8 * most + 40


@pytest.mark.parametrize(
    "result",
    [
        "x" * (16 << 20),
        ["line"] * 400_000,
        [[index] for index in range(300_000)],
        {f"key {index}": index for index in range(200_000)},
        [{"a": 1, "b": "two"}] * 200_000,
        [["y" * (1 << 20)] * 8],
    ],
    ids=["text", "list", "lists", "object", "table", "long texts"],
)
def test_a_large_result_is_drawn_as_its_beginning(result: Any) -> None:
    """At most about CLIP characters, with the size and the command that gives all of it."""
    job = job_with(result)
    text = shown(job)
    assert text.startswith("the beginning of ")
    assert "dts job J1 --json" in text
    assert len(text) < 16 * CLIP
    assert len(job_text.result_lines(job)) <= job_text.LINES_MAX + 3


def test_a_small_result_is_drawn_whole() -> None:
    """Nothing is said where nothing is left out."""
    assert "beginning" not in shown(job_with({"words": 3}))
    assert shown(job_with("x" * 1000)) == "x" * 1000


def test_the_raw_record_of_a_large_result_leaves_it_out() -> None:
    """The tab Raw says its size instead."""
    lines = job_text.raw_lines(job_with(["z" * 100] * 90_000))
    text = "\n".join("".join(part for part, _ in line) for line in lines)
    assert "see the tab Result" in text
    assert "zzz" not in text
