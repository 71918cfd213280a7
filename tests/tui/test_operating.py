"""Operating by keys: queues, dead letters, hosts, and how the parts are."""

import pytest

from dts_core.views import PartView, QueueView
from dts_tui.parts_drawing import panel_lines, parts_panel
from tests.tui.conftest import Opener
from tests.tui.fake_server import FakeServer, make_dead
from tests.tui.hostile_console import PAYLOADS

SIZES = [(80, 24), (200, 60)]


def sent(server: FakeServer, path: str) -> list[object]:
    return [body for method, at, body in server.requests if (method, at) == ("POST", path)]


@pytest.mark.parametrize("size", SIZES)
async def test_a_queue_is_paused_and_resumed(
    opened: Opener, server: FakeServer, size: tuple[int, int]
) -> None:
    """The question says what it hits; cancel is its default; the state stands there in words."""
    async with opened(*size) as drive:
        await drive.keys("7")
        await drive.shows("jobs.default", "204", "P pause/resume", "l dead letters")
        await drive.keys("P")
        await drive.shows("Pause this queue? 204 jobs waiting, 3 out.", "Pause the queue")
        await drive.keys("enter")
        await drive.lacks("Pause the queue")
        assert not sent(server, "/queues/jobs.default/pause")
        await drive.keys("P", "y")
        await drive.shows("paused ", "jobs.default is paused")
        await drive.keys("1")
        await drive.shows("paused")
        await drive.keys("7")
        await drive.keys("P")
        await drive.shows("Let this queue hand out jobs again?", "Resume the queue")
        await drive.keys("y")
        await drive.shows("jobs.default is open")
        assert len(sent(server, "/queues/jobs.default/resume")) == 1
        await drive.keys("j", "P")
        await drive.shows("results is no queue of jobs")


@pytest.mark.parametrize("size", SIZES)
async def test_dead_letters_are_read_sent_again_and_discarded(
    opened: Opener, server: FakeServer, size: tuple[int, int]
) -> None:
    """Of one queue, then of all; marked ones go together; throwing away asks for what it says to be typed."""
    async with opened(*size) as drive:
        await drive.keys("7")
        await drive.shows("jobs.default")
        await drive.keys("l")
        await drive.shows(
            "dead letters ─ 21", "of jobs.default", "came back 20 times", "R send again"
        )
        await drive.keys("enter")
        await drive.shows("dead letter 41", '"function": "sample/wordcount"')
        await drive.keys("escape", "space", "space")
        await drive.shows("2 marked")
        await drive.keys("R")
        await drive.shows(
            "Send 2 dead letters again", "41  jobs.default", "of a job that is over is dropped"
        )
        await drive.keys("y")
        await drive.shows("2 dead letters sent again", "dead letters ─ 19")
        assert sent(server, "/queues/dead-letters/send-again") == [{"seqs": [41, 39]}]
        await drive.keys("D")
        await drive.shows(
            "Throw 1 dead letter away for good? Nobody can read", "type 37 to confirm"
        )
        await drive.keys("<39>", "enter")
        assert not sent(server, "/queues/dead-letters/discard")
        await drive.keys("escape", "D", "<37>", "enter")
        await drive.shows("1 dead letter discarded", "dead letters ─ 18")
        await drive.keys("*", "D")
        await drive.shows("type discard 18 to confirm")
        await drive.keys("escape", "escape", "escape")
        await drive.shows("P pause/resume")
        await drive.keys("L")
        await drive.shows("dead letters ─ 38")
        assert sent(server, "/queues/dead-letters/discard") == [{"seqs": [37]}]


async def test_all_dead_letters_of_a_queue_ask_for_its_name(
    opened: Opener, server: FakeServer
) -> None:
    """D on a queue; one without any says so and asks nothing."""
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("jobs.default")
        await drive.keys("D")
        await drive.shows("Throw all 21 dead letters", "type jobs.default to confirm")
        await drive.keys("<jobs.defaul>", "enter")
        assert not sent(server, "/queues/dead-letters/discard")
        await drive.keys("<t>", "enter")
        await drive.shows("21 dead letters discarded")
        assert sent(server, "/queues/dead-letters/discard") == [{"queue": "jobs.default"}]
        await drive.keys("j", "D")
        await drive.shows("no dead letter came from results")


async def test_more_dead_letters_come_as_one_goes_down(opened: Opener, server: FakeServer) -> None:
    """The next page is asked for near the end of the one before."""
    server.dead = [make_dead(number) for number in range(450, 0, -1)]
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("jobs.default")
        await drive.keys("L")
        await drive.shows("dead letters ─ 200 and more")
        await drive.keys("G")
        await drive.shows("dead letters ─ 400")
        await drive.keys("G")
        await drive.shows("dead letters ─ 450")


@pytest.mark.parametrize("area", ["1", "4"])
async def test_a_host_is_drained_where_it_is_shown(
    opened: Opener, server: FakeServer, area: str
) -> None:
    """On the Wall, in the list, on its page; draining shows in words until it is told to take jobs again."""
    async with opened() as drive:
        await drive.keys(area)
        await drive.shows("db-2")
        await drive.keys("j", "T")
        await drive.shows("Drain this host?", "may finish", "etl-3")
        await drive.keys("y")
        await drive.shows("etl-3 is told to drain")
        await drive.keys("4")
        await drive.shows("◇ draining")
        await drive.until(lambda: "etl-3" in drive.screen())
        await drive.keys("/", "<etl-3>", "enter", "enter")
        await drive.shows("Charts", "◇ draining")
        await drive.keys("T")
        await drive.shows("Have this host take jobs again?")
        await drive.keys("y")
        await drive.shows("etl-3 is told to take jobs")
        assert len(sent(server, "/hosts/etl-3/undrain")) == 1


@pytest.mark.parametrize("size", SIZES)
async def test_parts_say_how_they_are(
    opened: Opener, server: FakeServer, size: tuple[int, int]
) -> None:
    """Below the queues and over the screen; trouble comes first, and stands on the Wall too."""
    async with opened(*size) as drive:
        await drive.keys("7")
        await drive.shows(
            "parts ─ 7 ─ 1 worker host not heard",
            "● store",
            "up, answers in 0.4 ms",
            "▽ stethoscope",
        )
        server.parts[1] = PartView(name="broker", state="away", words="connection refused")
        await drive.shows("1 in trouble", "◐ broker", "connection refused")
        await drive.keys("v")
        await drive.shows("esc closes", "writes results down", "workers, by host", "late, beat ")
        await drive.keys("escape", "1")
        await drive.shows("broker away")


@pytest.mark.parametrize(
    ("role", "may"), [("viewer", False), ("submitter", False), ("operator", True)]
)
async def test_only_operators_operate(
    opened: Opener, server: FakeServer, role: str, may: bool
) -> None:
    """Others are told why not, and nothing is asked of the server."""
    server.role = role
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("jobs.default")
        await drive.until(lambda: drive.console.world.role == role)
        await drive.keys("P")
        await drive.shows(
            "Pause this queue?" if may else f"needs the role operator; yours is {role}"
        )
        await drive.keys("escape", "l")
        await drive.shows("dead letters ─ 21" if may else "needs the role operator")
        asked = [path for _, path, _ in server.requests if path.startswith("/queues/")]
        assert bool(asked) == may


async def test_a_read_only_console_looks_and_changes_nothing(
    opened: Opener, server: FakeServer
) -> None:
    """Dead letters are shown; nothing is sent again or thrown away."""
    async with opened(read_only=True) as drive:
        await drive.keys("7", "l")
        await drive.shows("dead letters ─ 21")
        for key in ("R", "D"):
            await drive.keys(key)
            await drive.shows("this console is read-only")
        assert not [each for each in server.requests if each[0] == "POST"]


async def test_a_refusal_is_shown(opened: Opener, server: FakeServer) -> None:
    """What the server says stands in the footer; the queue stays as it is."""
    server.refusals["POST", "/queues/jobs.default/pause"] = {
        "status": 409, "code": "conflict", "detail": "somebody else was faster.",
    }  # fmt: skip
    async with opened() as drive:
        await drive.keys("7")
        await drive.shows("jobs.default")
        await drive.keys("P", "y")
        await drive.shows("somebody else was faster")
        assert "paused" not in drive.screen()


@pytest.mark.parametrize("payload", PAYLOADS[:-2])
async def test_hostile_dead_letters_and_queues_stay_text(
    opened: Opener, server: FakeServer, payload: str
) -> None:
    """In the table, in the question, in the detail, in the list of parts: nothing of it is obeyed or breaks a line."""
    server.queues = [QueueView(name=f"jobs.{payload}", ready=1, unacked=0, consumers=0, dead=1)]
    server.dead = [
        make_dead(
            1, queue=f"jobs.{payload}", reason=payload, type=payload, message_id=payload,
            body=payload * 3, headers={payload: payload},
        )
    ]  # fmt: skip
    server.parts = [PartView(name=payload, state=payload, words=payload, host=payload, pid=1)]
    async with opened(120, 36) as drive:
        await drive.keys("7")
        await drive.shows("jobs.", "parts ─ 1")
        for keys in (("P",), ("escape", "D"), ("escape", "v"), ("escape", "L")):
            await drive.keys(*keys)
            text = drive.screen()
            assert not set(text) & set("\x1b\x07\x08\x9b\x9d\x00\x7f\r\u202e\u200b\ufeff")
            assert len(text.split("\n")) == 36
        await drive.shows("dead letters ─ 1")
        await drive.keys("enter")
        await drive.shows("dead letter 1", "reason")
        text = drive.screen()
        assert not set(text) & set("\x1b\x07\x08\x9b\x9d\x00\x7f\r\u202e\u200b\ufeff")
        framed = [line for line in text.split("\n") if line.strip().startswith("│")]
        assert framed
        assert all(line.rstrip().endswith("│") for line in framed)
        await drive.keys("escape", "D")
        await drive.shows("type 1 to confirm")


def test_parts_fit_any_room() -> None:
    """Trouble first; what does not fit is counted; two columns where there is room."""
    server = FakeServer()
    server.parts.append(PartView(name="porter", state="quiet", words="not heard for 20 s"))
    status = server.status()
    panel = parts_panel(status, 80, 4)
    texts = ["".join(text for text, _ in line) for line in panel]
    assert len(panel) == 4
    assert "1 in trouble" in texts[0]
    assert "porter" in texts[1]
    assert "more lines: v" in texts[-1]
    assert len(panel_lines(status, 200)) == 4
    assert parts_panel(status, 80, 1)
