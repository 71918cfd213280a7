"""Keys that come at once, as over a slow line: none is lost, none answers a question that nobody has seen."""

import pytest

from dts_tui.screens.base import Place
from dts_tui.screens.jobs import Jobs
from tests.tui.conftest import Opener
from tests.tui.fake_server import FakeServer

SIZES = [(80, 24), (200, 60)]


@pytest.mark.parametrize("size", SIZES)
async def test_a_command_in_one_piece_is_done(opened: Opener, size: tuple[int, int]) -> None:
    """The colon opens the line that the rest is meant for."""
    async with opened(*size) as drive:
        await drive.burst("<:queues>", "enter")
        await drive.until(lambda: drive.console.area == "queues")
        await drive.burst("<:jobs>", "enter", "<:hosts>", "enter")
        await drive.until(lambda: drive.console.area == "hosts")


async def test_keys_behind_a_command_reach_the_new_screen(opened: Opener) -> None:
    """A screen that is still being made takes what was typed for it, in order."""
    async with opened() as drive:
        await drive.shows("● live")
        await drive.keys("2")
        jobs = drive.console.view
        assert isinstance(jobs, Jobs)
        await drive.shows("▶ running")
        await drive.keys("home", "1")
        await drive.burst("<2jjj>")
        assert drive.console.area == "jobs"
        rows = jobs.table.rows
        assert jobs.table.keys().index(rows.cursor) == 3


async def test_enter_behind_the_area_opens_the_first_job(
    opened: Opener, server: FakeServer
) -> None:
    """Its rows come later than the key: it waits for them, and for those of a filter too."""
    async with opened() as drive:
        await drive.shows("● live")
        await drive.burst("2", "enter")
        await drive.until(lambda: getattr(drive.console.view, "id_of_job", "") == server.jobs[0].id)
        await drive.burst("<:jobs failed>", "enter", "enter")
        failed = next(each for each in server.jobs if each.state == "failed")
        await drive.until(lambda: getattr(drive.console.view, "id_of_job", "") == failed.id)


async def test_text_for_a_list_that_opens_is_kept(opened: Opener) -> None:
    """The letters behind `?` find, enter takes what was found."""
    async with opened() as drive:
        await drive.burst("?", "<alarms>", "enter")
        await drive.until(lambda: drive.console.area == "alarms")
        assert drive.console.overlay is None


async def test_keys_before_a_question_do_not_answer_it(opened: Opener, server: FakeServer) -> None:
    """What was typed before the question could be seen is dropped; then it takes its keys."""
    async with opened() as drive:
        await drive.keys("2")
        await drive.shows("▶ running")
        await drive.burst("<Cy>")
        await drive.shows("Stop 1 job?")
        assert not [request for request in server.requests if request[1] == "/jobs/cancel"]
        assert drive.console.overlay is not None
        await drive.keys("y")
        await drive.until(
            lambda: bool([request for request in server.requests if request[1] == "/jobs/cancel"])
        )


async def test_a_console_that_ends_while_it_starts_ends_well(opened: Opener) -> None:
    """Textual lets go of the screens at once; what is still being opened bears it."""
    async with opened() as drive:
        drive.console.go(Place("jobs"))
        drive.console.exit()
    assert drive.console.return_code == 0
