"""Figures, bars, boxes, the Wall and the pages of a job as lines: what is drawn, without a terminal."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.plain import glyphs, words
from dts_core.plain.cells import cells, cut, pad
from dts_core.text import is_safe
from dts_tui import job_text
from dts_tui.draw import bar, box, chart, fit, rule, spread, squeeze, width_of, wrap
from dts_tui.scene import Scene, WallView
from dts_tui.state import World
from dts_tui.themes import NAMES, palette
from dts_tui.wall_drawing import draw_wall
from tests.tui.fake_server import START, FakeServer, make_host, make_job

any_text = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=60)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.04, "0.0s"),
        (7.12, "7.1s"),
        (9.97, "10s"),
        (12, "12s"),
        (9, "9s"),
        (61, "1m"),
        (7200, "2h"),
        (260_000, "3d"),
        (-4, "0s"),
    ],
)
def test_ages_are_short(seconds: float | None, text: str) -> None:
    """An age takes four characters; whole seconds stay whole."""
    assert words.age(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.012, "12 ms"),
        (3.416, "3.42 s"),
        (12.44, "12.4 s"),
        (245, "4m 05s"),
        (7620, "2h 07m"),
        (273_600, "3d 04h"),
    ],
)
def test_durations_have_units(seconds: float, text: str) -> None:
    """A duration says its unit."""
    assert words.duration(seconds) == text


def test_sizes_and_counts() -> None:
    """Bytes have binary units; long counts are cut to five characters."""
    assert [words.size(n) for n in (0, 1023, 1536, 200 << 30)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "200 GiB",
    ]
    assert [words.short_count(n) for n in (999, 12_431, 204_000, 3_100_000)] == [
        "999",
        "12.4k",
        "204k",
        "3.1M",
    ]


@given(any_text, st.integers(0, 40))
def test_pad_is_exactly_as_wide_as_asked(text: str, width: int) -> None:
    """Wide, narrow and combining characters included, a cell takes its width, no more and no less."""
    assert cells(pad(text, width)) == width
    assert cells(cut(text, width)) <= width


@given(st.lists(st.tuples(any_text, st.just("text")), max_size=6), st.integers(1, 60))
def test_fit_is_exactly_as_wide_as_asked(line: list[tuple[str, str]], width: int) -> None:
    """A line of spans too."""
    assert width_of(fit(line, width)) == width


@given(st.floats(allow_nan=True, allow_infinity=True), st.integers(3, 40))
def test_a_bar_keeps_its_width(fraction: float, width: int) -> None:
    """Whatever the figure, not a number included, the bar takes its room."""
    assert width_of(bar(fraction, width)) == width


@given(st.lists(st.floats(0, 1), max_size=300), st.integers(1, 60), st.integers(1, 12))
def test_a_chart_keeps_its_size(values: list[float], width: int, height: int) -> None:
    """Every row of a chart is as wide as asked."""
    rows = chart(values, width, height)
    assert [cells(row) for row in rows] == [width] * height


def test_a_chart_stands_still_while_time_moves() -> None:
    """With one more sample, the older columns are the same as before."""
    values = [float(n % 7) for n in range(150)]
    before = squeeze(values, 50, count=150, capacity=150)
    after = squeeze([*values[1:], 3.0], 50, count=151, capacity=150)
    assert before[1:] == after[:-1]


@given(any_text, st.integers(4, 40))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    """No line is wider than asked; all that is not a space is still there."""
    lines = wrap(text, width)
    assert all(cells(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_frames_are_exact() -> None:
    """Boxes, rules and spread lines take exactly their room, however long their titles are."""
    title = [("a long title that will not fit", "title")]
    for width in (5, 12, 40):
        lines = box([[("text", "text")]], title, [("age 1s", "dim")], width, 4, "border")
        assert [width_of(line) for line in lines] == [width] * 4
        assert width_of(rule(title, [("age 1s", "dim")], width)) == width
        assert width_of(spread(title, [("right", "dim")], width)) == width


def _scene(server: FakeServer, *, failed: bool = True) -> Scene:
    world = World()
    world.take(server.status(), START, 10.0)
    world.recent = server.jobs if failed else []
    return Scene(world, WallView(), START, 10.0)


@pytest.mark.parametrize("size", [(60, 11), (80, 20), (100, 26), (160, 44), (200, 56), (300, 90)])
@pytest.mark.parametrize("hosts", [0, 1, 3, 250])
def test_the_wall_fills_its_room_exactly(size: tuple[int, int], hosts: int) -> None:
    """At every size and with any number of hosts all lines are as wide as the screen, and as many as it has."""
    server = FakeServer()
    server.hosts = [
        make_host(f"host-{n}", n / 250, "lost" if n == 7 else "up") for n in range(hosts)
    ]
    lines = draw_wall(_scene(server), *size)
    assert len(lines) == size[1]
    assert {width_of(line) for line in lines} == {size[0]}


def test_the_wall_shows_figures_and_ages() -> None:
    """Name, state, beat, CPU, memory, slots of a host; counts of jobs; age of each panel."""
    text = "\n".join(
        "".join(part for part, _ in line) for line in draw_wall(_scene(FakeServer()), 160, 44)
    )
    for part in (
        "hosts 2/3",
        "◐ db-2",
        "CPU ▕",
        "97%",
        "MEM ▕",
        "62%",
        "2/8",
        "▶ running",
        "jobs.default",
        "204",
        "12s",
        "CPU 97% for",
        "age 0.0s",
        "ValueError: count is 0",
    ):
        assert part in text


@pytest.mark.parametrize(("mail", "says"), [("off", True), ("on", False), ("", False)])
def test_the_wall_says_that_mail_is_off(mail: str, says: bool) -> None:
    """Beside the alarms; an older server says nothing of it."""
    scene = _scene(FakeServer())
    assert scene.world.status is not None
    scene.world.status = msgspec.structs.replace(scene.world.status, mail=mail)
    text = "\n".join("".join(part for part, _ in line) for line in draw_wall(scene, 160, 44))
    assert ("mail is off" in text) is says


def test_hosts_beyond_the_room_are_a_heat_map() -> None:
    """250 hosts on 20 lines: the worst have rows, every other one has a cell."""
    server = FakeServer()
    server.hosts = [make_host(f"host-{n:03}", 0.2, "lost" if n == 7 else "up") for n in range(250)]
    scene = _scene(server)
    scene.view.zoomed = True
    lines = ["".join(part for part, _ in line) for line in draw_wall(scene, 120, 20)]
    rows = sum("CPU" in line for line in lines)
    heat = sum(line.count("▂") + line.count("▅") for line in lines if "CPU" not in line)
    assert "○ host-007" in lines[1]
    assert rows + heat == 250


def test_stale_data_says_so() -> None:
    """Older than two intervals, a panel's age reads stale."""
    scene = _scene(FakeServer())
    scene.monotonic = 24.0
    text = "".join(part for line in draw_wall(scene, 100, 26) for part, _ in line)
    assert "stale 14s" in text


def test_every_state_has_a_glyph_and_another_in_ascii() -> None:
    """No state is told by its colour alone, in ASCII neither."""
    for table in (glyphs.JOB, glyphs.HOST, glyphs.PART):
        assert len({look.glyph for look in table.values()}) == len(table)
        stand_ins = [glyphs.to_ascii(look.glyph) for look in table.values()]
        assert all(sign.isascii() for sign in stand_ins)
        assert len(set(stand_ins)) == len(table)


@given(any_text)
def test_ascii_is_ascii_and_as_wide(text: str) -> None:
    """The ASCII set changes no layout."""
    plain = glyphs.to_ascii(text)
    assert plain.isascii()
    assert len(plain) == sum(cells(char) for char in text)


def test_ascii_is_chosen_by_variable_or_locale() -> None:
    """DTS_ASCII wins; without UTF-8 in the locale ASCII is used."""
    assert glyphs.wants_ascii({"DTS_ASCII": "1", "LANG": "de_DE.UTF-8"})
    assert not glyphs.wants_ascii({"LANG": "C.utf8"})
    assert glyphs.wants_ascii({"LANG": "de_DE.ISO-8859-1"})


@pytest.mark.parametrize("name", NAMES)
def test_themes_know_every_style(name: str) -> None:
    """A style that drawing uses is in each theme, alone, under the cursor and dimmed."""
    table = palette(name)
    for style in (
        "text",
        "good",
        "bad",
        "warn",
        "dead",
        "bar",
        "key",
        "tabon",
        "badge",
        "gone",
        "hit",
    ):
        assert table[style].color is not None
        assert table[f"{style}/cursor"].bgcolor is not None
        assert table[f"{style}/stale"].color is not None


# --- a job --------------------------------------------------------------------------------------


def text_of(lines: list[list[tuple[str, str]]]) -> str:
    return "\n".join("".join(part for part, _ in line) for line in lines)


def test_frames_of_dts_are_folded() -> None:
    """A traceback shows the function's own frames; how many others there were is said."""
    text = text_of(job_text.error_lines(make_job(1, "failed"), 100))
    assert 'File "function.py", line 27' in text
    assert "child.py" not in text
    assert "1 frame of dts left out" in text


def test_a_list_of_flat_objects_is_a_table() -> None:
    """Rows of the same keys are laid out in columns."""
    lines = text_of(
        job_text.value_lines([{"path": "/a", "size": 1}, {"path": "/longer", "size": 20}])
    ).split("\n")
    assert lines[0].split() == ["path", "size"]
    assert lines[2].index("20") == lines[0].index("size")


def test_why_names_what_keeps_it() -> None:
    """A job that waits says for what; a lost worker says what that charges."""
    waiting = " ".join(job_text.why(make_job(1, "queued", queue="gpu", priority=3, losses=1)))
    assert "queue is gpu, with priority 3" in waiting
    assert "lost 1 time" in waiting
    cancelled = " ".join(
        job_text.why(make_job(1, "cancelled", cancelled_by="anna", reason="stopped by its worker"))
    )
    assert "anna asked" in cancelled


def test_cancelling_is_not_cancelled() -> None:
    """Until the end is confirmed the head says cancelling, with the grace."""
    head = text_of(
        job_text.head_lines(make_job(1, "cancelling", grace_seconds=7), START, 100, utc=True)
    )
    assert "◍ cancelling (grace 7 s)" in head


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_result_is_shown_printable(value: object) -> None:
    """Whatever a function returns, no control character is in what is drawn."""
    for line in job_text.value_lines(value):
        assert all(is_safe(part) for part, _ in line)
