"""Queues, dead letters and parts when things go wrong, are many, or are asked for from elsewhere."""

import asyncio
from datetime import datetime

import pytest

from dts_core.views import DeadLetterList, PartView, QueueView
from dts_tui.dead_pages import DeadPages
from dts_tui.parts_drawing import panel_lines, parts_in_full
from tests.tui.conftest import Opener
from tests.tui.fake_server import START, FakeServer, make_dead, make_host

AWAY = PartView(name="broker", state="away", words="no RabbitMQ at far.example:5672: refused")


def texts(lines: list[list[tuple[str, str]]]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


async def test_queues_outlast_a_broker_that_is_away(opened: Opener, server: FakeServer) -> None:
    """What was last told stays, with its age and the reason; the Wall says it too; it is live again by itself."""
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("jobs.default", "204")
        told, server.queues, server.parts[1] = server.queues, [], AWAY
        await drive.shows("queues ─ 2 ─ broker away", "stale", "jobs.default", "no RabbitMQ at")
        await drive.keys("1")
        await drive.shows("broker away", "jobs.default")
        server.queues, server.parts[1] = told, PartView(name="broker", state="up", words="up")
        await drive.keys("7")
        await drive.lacks("broker away")
        await drive.shows("jobs.default", "age ")


async def test_queues_that_were_never_told_say_why(opened: Opener, server: FakeServer) -> None:
    """Instead of an empty list, the reason."""
    server.queues, server.parts[1] = [], AWAY
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("the queues are not known while the broker is away", "no RabbitMQ at far")


async def test_a_list_that_was_not_told_yet_is_not_said_to_be_empty(
    opened: Opener, server: FakeServer
) -> None:
    """It asks; what to do about an empty one is said once it is known to be empty."""
    held = server.held["GET", "/status"] = asyncio.Event()
    server.queues = []
    async with opened(area="queues") as drive:
        await drive.shows("queues ─ 0", "asking …")
        assert "no queue yet" not in drive.screen()
        held.set()
        await drive.shows("no queue yet: the first worker or job makes one")


@pytest.mark.parametrize("width", range(76, 92))
async def test_the_footer_names_whole_keys(opened: Opener, server: FakeServer, width: int) -> None:
    """Whatever the width, no name of a key is cut."""
    async with opened(width) as drive:
        await drive.keys("4")
        await drive.shows("etl-3", "T drain/undrain")
        assert "…" not in drive.screen().split("\n")[-1]


async def test_dead_letters_that_cannot_be_had_say_why(opened: Opener, server: FakeServer) -> None:
    """The refusal stands where the list would be, and the list comes by itself later."""
    server.refusals["GET", "/queues/dead-letters"] = {
        "status": 503, "code": "store_unavailable", "detail": "the store does not answer.",
    }  # fmt: skip
    async with opened() as drive:
        await drive.keys("7", "l")
        await drive.shows("the store does not answer.")
        await drive.lacks("asking …")
        server.refusals.clear()
        await drive.shows("dead letters ─ 21")


async def test_dead_letters_stay_fresh_under_marks(opened: Opener, server: FakeServer) -> None:
    """New ones come on top; cursor and marks stay with their letters."""
    async with opened() as drive:
        await drive.keys("7", "L")
        await drive.shows("dead letters ─ 41")
        await drive.keys("j", "space")
        await drive.shows("1 marked")
        server.dead.insert(0, make_dead(42))
        await drive.shows("dead letters ─ 42")
        view = drive.console.view
        rows = getattr(view, "rows", None)
        assert rows is not None
        assert rows.marks == {"40"}
        assert rows.cursor == "39"


async def test_a_filter_looks_beyond_the_first_page(opened: Opener, server: FakeServer) -> None:
    """What fits may be among the older ones; the title says how many were looked through."""
    server.dead = [make_dead(number, reason="plain") for number in range(450, 0, -1)]
    server.dead[-1] = make_dead(1, reason="the needle")
    async with opened() as drive:
        await drive.keys("7", "L")
        await drive.shows("dead letters ─ 200 and more")
        await drive.keys("/", "<needle>", "enter")
        await drive.shows("dead letters ─ 1 of 450", "the needle")


async def test_letters_of_a_queue_are_found_below_those_of_others(
    opened: Opener, server: FakeServer
) -> None:
    """The server looks through a page at a time; an empty one is not the end."""
    server.dead = [make_dead(number, queue="results") for number in range(1200, 2, -1)]
    server.dead += [make_dead(number, queue="jobs.default") for number in (2, 1)]
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("jobs.default")
        await drive.keys("l")
        await drive.shows("dead letters ─ 2 ─ of jobs.default")
        await drive.keys("j", "R")
        await drive.shows("Send 1 dead letter again")
        await drive.keys("y")
        await drive.shows("dead letters ─ 1 ─ of jobs.default")
        assert [each.seq for each in server.dead if each.queue == "jobs.default"] == [2]


async def test_looking_through_dead_letters_has_an_end(opened: Opener, server: FakeServer) -> None:
    """A queue without any among very many: so many requests and no more, and the list says how to go on."""
    server.dead = [make_dead(number, queue="results") for number in range(30_000, 0, -1)]
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("jobs.default")
        await drive.keys("l")
        await drive.shows("none among the newest ones", "`dts dead list --queue` looks at all")
        view = drive.console.view
        pages = getattr(view, "pages", None)
        assert isinstance(pages, DeadPages)
        await drive.until(lambda: not pages.may_look())
        assert pages.next > 0


def test_pages_keep_what_lies_below_the_newest() -> None:
    """New ones come on top, what went from the page is gone, the end stays the end."""
    pages = DeadPages()
    pages.newest(DeadLetterList(items=[make_dead(n) for n in (9, 8)], next=8))
    pages.older(DeadLetterList(items=[make_dead(n) for n in (7, 6)], next=6))
    pages.older(DeadLetterList(items=[], next=0))
    pages.newest(DeadLetterList(items=[make_dead(n) for n in (10, 8)], next=8))
    assert [each.seq for each in pages.in_order()] == [10, 8, 7, 6]
    assert pages.next == 0
    pages.forget([7, 99])
    assert [each.seq for each in pages.in_order()] == [10, 8, 6]
    pages.newest(DeadLetterList(items=[], next=0))
    assert pages.in_order() == []


async def test_dead_letters_and_parts_are_reached_from_everywhere(
    opened: Opener, server: FakeServer
) -> None:
    """By `:` with a queue or without, by `L` on the Wall, and in the palette; what is not for a screen says so."""
    async with opened() as drive:
        await drive.shows("hosts")
        await drive.keys("L")
        await drive.shows("Queues ▸ dead letters", "dead letters ─ 41")
        await drive.keys("5", ":", "<dead jobs.default>", "enter")
        await drive.shows("of jobs.default", "dead letters ─ 21")
        await drive.keys("L")
        await drive.shows("dead letters ─ 41")
        await drive.keys("2", ":", "<dead>", "enter")
        await drive.shows("dead letters ─ 41")
        await drive.keys("2", ":", "<parts>", "enter")
        await drive.shows("writes results down", "workers, by host")
        await drive.keys("escape", "ctrl+p", "<dead letters of every>")
        await drive.shows("all dead letters")
        await drive.keys("enter")
        await drive.shows("Queues ▸ dead letters")
        await drive.keys("1", ":", "<send-again>", "enter")
        await drive.shows("`send-again` is not for this screen, but for dead")


async def test_a_viewer_does_not_reach_dead_letters_by_command(
    opened: Opener, server: FakeServer
) -> None:
    """The refusal is in words, and nothing is asked."""
    server.role = "viewer"
    async with opened() as drive:
        await drive.until(lambda: drive.console.world.role == "viewer")
        await drive.keys(":", "<dead jobs.default>", "enter")
        await drive.shows("needs the role operator; yours is viewer")
        assert not [path for _, path, _ in server.requests if "dead-letters" in path]


async def test_both_other_forms_are_right(opened: Opener, server: FakeServer) -> None:
    """`.` says what the keys do here: numbers as numbers, resume when paused, undrain when drained."""
    async with opened(120, 40) as drive:
        await drive.keys("7", "L")
        await drive.shows("dead letters ─ 41")
        await drive.keys("space", "space", ".")
        await drive.shows(
            "dts dead show 41", "dts dead send-again 41 40", '{"seqs": [41, 40]}', "dts dead list"
        )
        await drive.keys("escape", "7", ".")
        await drive.shows("dts queues pause jobs.default", "POST /queues/jobs.default/pause")
        await drive.keys("escape", "P", "y")
        await drive.shows("paused ")
        await drive.keys(".")
        await drive.shows("dts queues resume jobs.default", '{"queue": "jobs.default"}')
        await drive.keys("escape", "4")
        await drive.shows("etl-3")
        await drive.keys("j", ".")
        await drive.shows("dts hosts drain", "dts hosts list", "GET /hosts")
        assert "GET /jobs/" not in drive.screen()


async def test_a_wrong_word_is_said_to_be_wrong(opened: Opener, server: FakeServer) -> None:
    """Nothing was done, and the question is still there."""
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("jobs.default")
        await drive.keys("D", "<jobs>", "enter")
        await drive.shows("that is not jobs.default: nothing was done")
        await drive.keys("<.>")
        await drive.lacks("nothing was done")
        assert not [path for method, path, _ in server.requests if method == "POST"]


@pytest.mark.parametrize("name", ["jobs." + "x" * 80, "jobs.größe", "jobs.\u202eabc"])
async def test_a_name_that_nobody_can_type_asks_for_the_number(
    opened: Opener, server: FakeServer, name: str
) -> None:
    """Too long, or with letters that no keyboard has."""
    server.queues = [QueueView(name=name, ready=0, unacked=0, consumers=0, dead=21)]
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("jobs.")
        await drive.keys("D")
        await drive.shows("type discard 21 to confirm")
        await drive.keys("<discard 21>", "enter")
        await drive.until(
            lambda: ("POST", "/queues/dead-letters/discard", {"queue": name}) in server.requests
        )


async def test_the_help_of_a_key_can_be_read_in_80_columns(
    opened: Opener, server: FakeServer
) -> None:
    """The whole sentence stands below the list, for the line under the cursor."""
    async with opened() as drive:
        await drive.keys("7", "?", "<pause/resume>")
        await drive.shows("Have the queue hand nothing out, or let it hand out again; asks first.")


async def test_figures_of_a_queue_are_live(opened: Opener, server: FakeServer) -> None:
    """`d` names every figure with its unit and keeps up with it."""
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("jobs.default")
        await drive.keys("d")
        await drive.shows("204 messages", "81/s", "consumers")
        first = server.queues[0]
        server.queues[0] = QueueView(
            name=first.name, ready=77, unacked=0, consumers=2, published_rate=1.0
        )
        await drive.shows("77 messages")


async def test_a_write_that_takes_long_says_that_it_waits(
    opened: Opener, server: FakeServer
) -> None:
    """Keys go on meanwhile; what came of it is said at last."""
    held = server.held["POST", "/queues/jobs.default/pause"] = asyncio.Event()
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("jobs.default")
        await drive.keys("P", "y")
        await drive.shows("waiting for the server")
        await drive.keys("j", "d")
        await drive.shows("queue results")
        await drive.keys("escape")
        held.set()
        await drive.shows("jobs.default is paused")


async def test_rates_sort_and_the_list_says_how_many_fit(
    opened: Opener, server: FakeServer
) -> None:
    """The busiest first; a filter's title says of how many."""
    server.queues = [
        QueueView(name=f"jobs.q{number}", ready=0, unacked=0, consumers=1, published_rate=number)
        for number in range(5)
    ]
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("queues ─ 5")
        while "in/s▲" not in drive.screen():
            await drive.keys("o")
        rows = [line for line in drive.screen().split("\n") if "jobs.q" in line]
        assert "jobs.q4" in rows[0]
        await drive.keys("/", "<q3>", "enter")
        await drive.shows("queues ─ 1 of 5")


def test_who_is_simply_up_stands_together() -> None:
    """Store, broker, workers and whoever is not up have a line each; the worst come first."""
    server = FakeServer()
    server.hosts = [make_host("web-1"), make_host("db-2", state="lost")]
    server.parts.append(PartView(name="porter", state="quiet", words="not heard for 20 s"))
    lines = texts(panel_lines(server.status(), 80))
    assert [line.split()[1] for line in lines] == [
        "porter", "store", "broker", "workers", "stethoscope", "up",
    ]  # fmt: skip
    assert "2 hosts: 1 up, 1 lost (db-2)" in lines[3]
    assert lines[5].endswith("server, porter, scheduler, link web-1")
    server.hosts = []
    assert "none: jobs wait until a `dts-worker` is started" in "".join(
        texts(panel_lines(server.status(), 80))
    )


def test_long_words_are_folded_in_full() -> None:
    """Over the screen nothing of what is wrong is cut; a lost worker stands before parts that are well."""
    server = FakeServer()
    now: datetime = START
    why = "away for 12 s: " + " ".join(f"word{number}" for number in range(30))
    server.parts[1] = PartView(name="broker", state="away", words=why)
    said = " ".join(texts(parts_in_full(server.status(), now, 72)))
    assert all(f"word{number}" in said for number in range(30))
    assert all(len(line) <= 72 for line in texts(parts_in_full(server.status(), now, 72)))
    server.parts[1] = PartView(name="broker", state="up", words="up")
    server.hosts.append(make_host("zz-9", state="lost"))
    lines = texts(parts_in_full(server.status(), now, 72))
    assert lines[0] == "workers, by host"
    assert "db-2" in lines[1]
    assert "zz-9" in lines[2]
