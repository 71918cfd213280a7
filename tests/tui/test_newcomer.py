"""What a newcomer stumbles over: each of these was once a stumble."""

import asyncio

import pytest

from dts_core.views import StatusView
from dts_tui import feed, job_text
from dts_tui.commands import complete
from dts_tui.widgets.source import indentation
from tests.tui.conftest import Opener
from tests.tui.fake_server import START, FakeServer, make_function, make_job, make_line


def test_a_done_job_shows_no_step_of_its_way() -> None:
    """The last progress text says where it was, not where it stands: the result line has none."""
    job = make_job(1, "done", progress=0.9, progress_text="step 9 of 10", result_size=28)
    text = str(job_text.head_lines(job, START, 80, utc=True))
    assert "step 9" not in text
    assert "result 28 B" in text


@pytest.mark.parametrize(
    ("before", "begins"),
    [
        ("", ""),
        ("import os", ""),
        ("def main():", "    "),
        ("    if x:", "        "),
        ("        y = 1", "        "),
        ("\tx", "\t"),
    ],
)
def test_a_new_line_begins_where_the_one_before_does(before: str, begins: str) -> None:
    """Deeper by one step after a colon."""
    assert indentation(before) == begins


async def test_the_editor_indents_and_takes_everything_back(opened: Opener) -> None:
    """Enter keeps the indentation; ctrl+r takes all changes back."""
    async with opened(80, 24) as drive:
        await drive.keys("3", "e")
        await drive.shows("ctrl+r revert", "def main")
        code = drive.console.view.code  # type: ignore[union-attr]
        stored = code.text
        await drive.keys("<if 1:>", "enter", "<x = 2>", "enter", "<y = 3>", "enter")
        await drive.until(lambda: code.text.startswith("if 1:\n    x = 2\n    y = 3\n    "))
        await drive.keys("ctrl+r")
        await drive.until(lambda: code.text == stored)


async def test_the_footer_names_only_keys_that_do_something(
    opened: Opener, server: FakeServer
) -> None:
    """A job that ended cannot be cancelled, and only its log can be followed; one version has nothing to compare."""
    server.jobs = [make_job(1, "running"), make_job(2, result=1, result_size=1)]
    server.functions = [make_function()]
    async with opened(100, 30) as drive:
        await drive.keys("2", "enter")
        await drive.shows("▶ running", "C cancel", "f follow")
        await drive.until(lambda: bool(server.streams))
        server.put_job(make_job(1, "done", result=1, result_size=1, changed=10**6))
        await drive.shows("● done")
        await drive.lacks("C cancel")
        await drive.keys("shift+tab")
        await drive.lacks("f follow")
        await drive.keys("3", "enter")
        await drive.shows("Versions", "s run")
        versions = len(server.functions[0].versions)
        assert ("= diff" in drive.screen()) is (versions > 1)
        assert "enter open" not in drive.screen()


async def test_the_line_for_typing_says_its_keys(opened: Opener) -> None:
    """While one types a filter the footer tells the keys of that, and the sign stands apart from the text."""
    async with opened(80, 24) as drive:
        await drive.keys("2", "slash", "<boom>")
        await drive.shows("tab completes", " filter boom")
        await drive.keys("escape")
        await drive.shows("enter open")


async def test_completion_goes_on_after_the_first_word(opened: Opener) -> None:
    """Each word of `:jobs …` is completed, not only the first."""
    async with opened(80, 24) as drive:
        assert "jobs failed host=" in complete(drive.console, "jobs failed ho")
        assert complete(drive.console, "jobs fai") == ["jobs failed"]


async def test_a_time_is_not_said_twice(opened: Opener, server: FakeServer) -> None:
    """A line of a file that begins with its time shows the text; folded, it is whole; what is copied is whole."""
    text = "2026-03-01 12:00:01,250 WARNING the disk is slow"
    server.lines = [make_line(1, text, level=30)]
    async with opened(80, 24) as drive:
        await drive.keys("5")
        await drive.shows("the disk is slow")
        assert "2026-03-01" not in drive.screen()
        assert "WARNING" not in drive.screen()
        assert drive.console.view.copied() == text  # type: ignore[union-attr]
        await drive.keys("w")
        await drive.shows("2026-03-01 12:00:01,250 WARNING the disk")


async def test_the_lowest_level_is_no_filter(opened: Opener) -> None:
    """One level up and down again is back at everything, and the title says nothing of levels."""
    async with opened(80, 24) as drive:
        await drive.keys("5")
        await drive.shows("line number 300")
        await drive.keys("plus", "plus")
        await drive.shows("warning and above")
        await drive.keys("minus", "minus", "minus")
        await drive.lacks("and above")


async def test_a_server_that_stands_still_is_said_to_be_gone(
    opened: Opener, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A status that does not come is not waited for as long as a call would wait; keys go on working."""
    monkeypatch.setattr(feed, "STATUS_SECONDS", 0.2)
    answer = server.status
    async with opened(100, 30) as drive:
        await drive.shows("● live")
        held = asyncio.Event()

        async def never() -> StatusView:
            await held.wait()
            return answer()

        drive.console.feed._client.status = never  # type: ignore[union-attr]
        await drive.shows("server unreachable since", "has not answered")
        await drive.keys("5")
        await drive.shows("line number 300")
        held.set()


async def test_a_filter_of_another_screen_goes_with_it(opened: Opener, server: FakeServer) -> None:
    """Enter on a queue, or `l` on a function, asks for a filter once; the area's own comes back afterwards."""
    async with opened(100, 30) as drive:
        await drive.keys("2")
        await drive.shows("jobs ─ 39")
        await drive.keys("7", "enter")
        await drive.shows("queue=default")
        await drive.keys("1", "2")
        await drive.lacks("queue=default")
        await drive.shows("jobs ─ 39")
        await drive.keys("5", "slash", "<number>", "enter", "3", "l")
        await drive.shows("function=")
        await drive.keys("5")
        await drive.lacks("function=")
        await drive.shows("logs ─ number")


async def test_a_new_job_is_one_key_away(opened: Opener) -> None:
    """`n` chooses a function from the lists that have nothing else that is new."""
    async with opened(80, 24) as drive:
        await drive.keys("7")
        await drive.shows("n new")
        await drive.keys("n")
        await drive.shows("choose a function")


@pytest.mark.parametrize("size", [(100, 30), (160, 48)])
async def test_the_wall_knows_the_jobs_it_has_a_panel_for(
    opened: Opener, size: tuple[int, int]
) -> None:
    """Where the last jobs have a panel they are asked for; it never says that there are none meanwhile."""
    async with opened(*size) as drive:
        await drive.shows("last jobs")
        assert "no job yet" not in drive.screen()
        await drive.until(lambda: bool(drive.console.world.recent))
        await drive.lacks("asking …")


def test_a_narrow_chart_keeps_its_figure() -> None:
    """Where there is little room the notes go, never the present value."""
    from dts_tui.host_drawing import _chart

    for width in range(10, 60):
        head = "".join(text for text, _ in _chart("CPU", [0.2, 0.6], width, 2, "bar", 2)[0])
        assert head.startswith("CPU 60%")
        assert len(head) == width


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
async def test_why_it_failed_is_seen_in_the_smallest_list(
    opened: Opener, size: tuple[int, int]
) -> None:
    """Where columns have to go, progress and the reason stay."""
    async with opened(*size) as drive:
        await drive.keys("2")
        await drive.shows("progress, or why", "ValueError: count", "40%")
