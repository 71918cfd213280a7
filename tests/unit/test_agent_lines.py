"""Lines, levels, instants and entries: what a log's bytes become."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.text import is_safe
from dts_worker.agent.joining import LINES_MAX, Entry, Joiner
from dts_worker.agent.lines import LINE_BYTES, Splitter
from dts_worker.agent.rate import Allowance
from dts_worker.agent.reading import level_of, time_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def local_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is an hour ahead of UTC."""
    monkeypatch.setenv("TZ", "XXX-1")
    time.tzset()
    yield
    monkeypatch.undo()
    os.environ.get("TZ")
    time.tzset()


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("2026-11-22 09:00:00,123 ERROR root: failed", 40),
        ("2026-11-22 09:00:00 WARNING [x] hm", 30),
        ("WARNING:root:hm", 30),
        ("INFO nothing wrong, no ERROR at all", 20),
        ("2026/11/22 09:00:00 [error] 12#0: *1 open() failed", 40),
        ("[Sun Nov 22 09:00:00 2026] [core:warn] [pid 1] x", None),
        ("[Sun Nov 22 09:00:00 2026] [crit] x", 50),
        ('time="2026-11-22T09:00:00Z" level=warning msg="x"', 30),
        ("ts=1 lvl=dbug x", None),
        ("E1122 09:00:00.123456 7 main.go:1] no", 40),
        ("W1122 09:00:00 7 main.go:1] no", 30),
        ("<3>disk on fire", 40),
        ("<165>1 2026-11-22T09:00:00Z host app - - - x", 20),
        ("<999>x", None),
        ('{"level":"error","msg":"x"}', 40),
        ('{"msg":"x","severity":"WARNING"}', 30),
        ('{"level":50,"msg":"pino"}', 40),
        ('{"level":30,"msg":"pino says info so"}', 20),
        ('{"PRIORITY":"3","MESSAGE":"journal"}', 40),
        ('{"msg":"{\\"level\\":\\"error\\"}","level":"info"}', 20),
        ("Nov 22 09:00:00 host app[1]: error: no", None),
        ("error: no such file", 40),
        ("mv: error: no", 40),
        ("Traceback (most recent call last):", 40),
        ("panic: runtime error", 50),
        ("GET /ERROR/page.html", None),
        ("plain words about an error", None),
        ("INFORMATION", 20),
        ("", None),
    ],
)
def test_level(line: str, level: int | None) -> None:
    """Each common form is understood, and a word inside a sentence or path is no level."""
    assert level_of(line) == level


@pytest.mark.parametrize(
    ("line", "instant"),
    [
        ("2026-11-22T09:00:00Z x", "2026-11-22T09:00:00+00:00"),
        ("2026-11-22T09:00:00.5+02:00 x", "2026-11-22T07:00:00.500000+00:00"),
        ("2026-11-22 09:00:00,123 x", "2026-11-22T08:00:00.123000+00:00"),
        ('{"time":"2026-11-22T09:00:00Z"}', "2026-11-22T09:00:00+00:00"),
        ("2026/11/22 09:00:00 [error] x", "2026-11-22T08:00:00+00:00"),
        (
            '::1 - - [22/Nov/2026:09:00:00 +0000] "GET / HTTP/1.1" 200',
            "2026-11-22T09:00:00+00:00",
        ),
        ("Nov 22 09:00:00 host app: x", "2026-11-22T08:00:00+00:00"),
        ("Dec 31 23:00:00 host app: x", "2025-12-31T22:00:00+00:00"),
        ("Nov  2 09:00:00 host app: x", "2026-11-02T08:00:00+00:00"),
        ("E1122 09:00:00.123456 7 main.go:1] no", "2026-11-22T08:00:00+00:00"),
        ("2036-11-22T09:00:00Z from the future", None),
        ("0001-01-01T00:00:00+14:00 x", None),
        ("2026-13-45 99:99:99 x", None),
        ("no time at all", None),
    ],
)
def test_time(line: str, instant: str | None) -> None:
    """Plain forms are understood, without a zone as local time; what cannot be true does not count."""
    found = time_of(line, NOW)
    assert (found and found.isoformat()) == instant


@given(st.text())
def test_reading_never_raises(text: str) -> None:
    """Any text has a level or none, an instant or none."""
    assert level_of(text) in (None, 10, 20, 30, 40, 50)
    assert time_of(text, NOW) is None or text


@given(st.lists(st.binary(max_size=40)), st.integers(0, 10**9))
def test_splitting_does_not_depend_on_the_chunks(chunks: list[bytes], offset: int) -> None:
    """However the bytes arrive: the same lines, with the offsets behind them."""
    data = b"".join(chunks)
    splitter = Splitter(offset)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    *whole, rest = data.split(b"\n")
    assert [line.data for line in lines] == whole
    assert [data[: line.end - offset].count(b"\n") for line in lines] == [
        number + 1 for number in range(len(whole))
    ]
    assert splitter.end == offset + len(data)
    last = splitter.rest()
    assert (last.data if last else b"") == rest
    assert splitter.rest() is None


@given(st.binary(max_size=200))
def test_every_line_is_safe(data: bytes) -> None:
    """Whatever stood in the file, the text holds no control of any kind."""
    for line in Splitter().feed(data + b"\n"):
        assert is_safe(line.text())


def test_long_line_is_cut_once_and_says_so() -> None:
    """A line beyond the bound takes no more memory than the bound, and the next line is whole."""
    splitter = Splitter()
    lines = []
    for _ in range(100):
        lines += splitter.feed(b"x" * 10_000)
    lines += splitter.feed(b"\nnext\n")
    assert [len(line.data) for line in lines] == [LINE_BYTES, 4]
    assert lines[0].cut == 1_000_000 - LINE_BYTES
    assert lines[0].text().endswith(f"({1_000_000 - LINE_BYTES} bytes more)")
    assert lines[1].text() == "next"


def test_hole_of_a_truncated_file_is_left_out() -> None:
    """Zeros that a writer left behind by keeping its position are no text."""
    (line,) = Splitter().feed(bytes(5000) + b"after\n")
    assert line.text() == "after"


def join(lines: list[str]) -> list[Entry]:
    joiner = Joiner()
    entries = []
    for number, line in enumerate(lines):
        entry = joiner.add(line, number, number + 1, monotonic=0.0, now=NOW)
        if entry is not None:
            entries.append(entry)
    last = joiner.flush()
    return entries if last is None else [*entries, last]


@pytest.mark.parametrize(
    ("lines", "sizes"),
    [
        (["a", "b", "c"], [1, 1, 1]),
        (["a", "  more", "\tmore", "b"], [3, 1]),
        (["a", "", "", "b"], [1, 1]),
        (["  indented first", "b"], [1, 1]),
        (["INFO ok", "Traceback (most recent call last):", "  File", "E: x", "INFO b"], [1, 3, 1]),
        (["ERROR bad", "Traceback (most recent call last):", "  File", "E: x", "b"], [4, 1]),
        (
            ["Exception in thread main java.lang.E", "\tat x", "Caused by: y", "\t... 3 more", "z"],
            [4, 1],
        ),
        (
            ["Traceback (most recent call last):", "  File", "2026-01-01 00:00:00 INFO other"],
            [2, 1],
        ),
    ],
)
def test_joining(lines: list[str], sizes: list[int]) -> None:
    """What explains a line belongs to it; what begins anew does not."""
    assert [entry.text.count("\n") + 1 for entry in join(lines)] == sizes
    assert join(lines)[-1].end == len(lines)


def test_entry_is_bounded() -> None:
    """A thousand continuation lines become one entry that says how many it leaves out."""
    (entry,) = join(["ERROR a", *["  more"] * 1000])
    assert entry.text.count("\n") == LINES_MAX
    assert entry.text.endswith("… 801 lines more")
    assert entry.end == 1001


def test_entry_waits_for_quiet() -> None:
    """An entry is handed out after a second without another line."""
    joiner = Joiner()
    joiner.add("a", 0, 2, monotonic=10.0, now=NOW)
    assert joiner.flush_quiet(10.5) is None
    joiner.add("  b", 2, 6, monotonic=10.5, now=NOW)
    assert joiner.flush_quiet(11.4) is None
    entry = joiner.flush_quiet(11.5)
    assert entry is not None
    assert (entry.text, entry.level, entry.at, entry.end) == ("a\n  b", 20, NOW, 6)
    assert joiner.start is None


def test_allowance_counts_what_it_refuses() -> None:
    """Over time exactly the rate passes; each refused record is told once."""
    allowance = Allowance(10)
    passed = sum(allowance.take("x", second / 100) for second in range(1000))
    assert 100 <= passed <= 121
    word = allowance.word(10.0)
    assert word.startswith(f"dropped {1000 - passed} records from x:")
    assert allowance.word(20.0) == ""
    allowance = Allowance(1)
    for name in "xxaabbbcc":
        allowance.take(name, 0.0)
    assert "3 files, most of them from b" in allowance.word(0.0)
