"""Calls on many hosts by keys: the board, one host's output, run again, the form."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest

from dts_core.clients.own_agent import OwnAgent, OwnKey
from dts_core.text import is_safe
from dts_tui.app import Console
from dts_tui.screens.base import Place
from tests.tui.driving import Driver
from tests.tui.fake_fanout import HOSTILE, FanOutServer

SIZES = [(80, 24), (160, 48)]
HOSTS = [f"web-{number}" for number in range(1, 41)] + ["db-1", "db-2", "etl-3"]
LINUX = "Linux 6.1.0\nDebian 12\n"
Opened = Callable[..., AbstractAsyncContextManager[Driver]]


@pytest.fixture
def server() -> FanOutServer:
    """A fan-out in the middle: two answers, each of the other ends, some not begun."""
    made = FanOutServer(HOSTS)
    made.begin(*HOSTS[:41])
    made.finish(*HOSTS[:30], stdout=LINUX)
    made.finish(*HOSTS[30:35], stdout=f"Linux 5.10.0\n{HOSTILE}\n")
    made.finish("web-36", "web-37", state="failed", status=127, stderr="uname: not found\n")
    made.finish("web-38", state="unreachable", status=None, why="refused the connection on port 22")
    made.finish("web-39", state="timed_out", status=None, why="10 s were over")
    made.finish("web-40", state="cancelled", status=None, why="cancelled by admin")
    return made


async def to_board(drive: Driver) -> None:
    await drive.keys("2")
    await drive.shows("jobs ─ 4", "sshrpc")
    await drive.keys("enter")
    await drive.shows("same answer ─ 8 groups", "Linux 6.1.0")


@pytest.mark.parametrize("size", SIZES)
async def test_equal_answers_stand_together(
    opened: Opened, server: FanOutServer, size: tuple[int, int]
) -> None:
    """From the jobs list into the board: folded names, the largest group first, each end with its word and count."""
    async with opened(*size) as drive:
        await to_board(drive)
        await drive.shows(
            "● ok 35", "✗ failed 2", "○ unreachable 1", "◷ timed out 1", "⊘ cancelled 1",
            "◇ never started 0", "▶ running 1", "· waiting 2", "uname -r", "40 of 43 hosts ended",
        )  # fmt: skip
        screen = drive.screen()
        assert screen.index("web-[1-30]") < screen.index("web-[31-35]") < screen.index("db-2,etl-3")
        assert "exit 127" in screen
        server.finish("db-1", stdout=LINUX)
        server.end()
        await drive.shows("◇ never started 2", "· waiting 0", "db-1,web-[1-30]", "✗ failed ")
        assert "ended ──" in drive.screen()


async def test_what_hosts_print_is_inert(opened: Opened, server: FanOutServer) -> None:
    """Sequences that a terminal would obey are shown, on the board, in differences and on the host's own screen."""
    async with opened(160, 48) as drive:
        await to_board(drive)
        await drive.keys("j")
        await drive.shows(r"\x1b[2J\x1b]0;owned\x07\x9b31m evil \u202eback")
        await drive.keys("=")
        await drive.shows("web-31 against the majority", "--- web-1 and 29 more", "-Linux 6.1.0")
        await drive.shows(r"+\x1b[2J\x1b]0;owned")
        await drive.keys("escape", "enter")
        await drive.shows("1 of 5 with this answer", r"\x1b[2J")
        assert all(is_safe(line) for line in drive.screen().split("\n"))


async def test_a_group_without_another_answer_is_not_compared(
    opened: Opened, server: FanOutServer
) -> None:
    """The majority with itself, or what never answered: said in words, nothing asked for."""
    async with opened(120, 36) as drive:
        await to_board(drive)
        await drive.keys("=")
        await drive.shows("this is what most hosts answered")
        await drive.keys("G", "=")
        await drive.shows("there is no answer here to compare")
        await drive.keys("R")
        await drive.shows("these hosts have not ended")
        del server


@pytest.mark.parametrize(
    ("keys", "which", "named"),
    [
        (("F",), "failed", "web-[36-37]"),
        (("U",), "unreachable", "web-38"),
        (("T",), "timed_out", "web-39"),
        (("N",), "never_started", "db-2"),
        (("j", "R"), "group", "web-[31-35]"),
    ],
)
async def test_it_runs_again_on_exactly_some(
    opened: Opened, server: FanOutServer, keys: tuple[str, ...], which: str, named: str
) -> None:
    """One key each; the question names the hosts, cancel is its default; the new board opens."""
    server.finish("db-1", stdout=LINUX)
    server.end()
    async with opened(120, 36) as drive:
        await drive.keys("2")
        await drive.shows("jobs ─ 4", "sshrpc")
        await drive.keys("enter")
        await drive.shows("Linux 6.1.0", "ended ──")
        await drive.keys(*keys)
        await drive.shows("Run uname -r again on", named, "Cancel")
        await drive.keys("enter")
        await drive.lacks("Sure?")
        assert len(server.runs) == 1
        await drive.keys(keys[-1])
        await drive.shows("Sure?")
        await drive.keys("y")
        await drive.until(lambda: len(server.runs) == 2)
        sent = [body for method, path, body in server.requests if path.endswith("/again")]
        assert {body["which"] for body in sent} == {which}
        assert all(bool(body["digest"]) is (which == "group") for body in sent)
        hosts = server.fan.kwargs["hosts"]
        count = f"{len(hosts)} host{'s' if len(hosts) > 1 else ''}"
        await drive.shows(f"started on {count}", f"0 of {count} ended", "· waiting")


async def test_it_runs_again_as_who_ran_it(
    opened: Opened, server: FanOutServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun with the keys of an SSH agent runs again with those of the agent here, which signs for it."""
    key = OwnKey(f"ssh-ed25519 {'A' * 68}", "mine")
    monkeypatch.setattr(OwnAgent, "keys", lambda agent: [key])
    given = server.fan.kwargs | {"own_keys": ["ssh-ed25519 earlier"], "ask": True}
    server.fan = msgspec.structs.replace(server.fan, kwargs=given)
    server.end()
    async with opened(120, 36) as drive:
        await to_board(drive)
        await drive.keys("F")
        await drive.shows("Run uname -r again on 3 hosts?")
        await drive.keys("y")
        await drive.until(lambda: len(server.runs) == 2)
        await drive.shows("started on 3 hosts")
        assert drive.console.world.lent == {server.fan.id}
    sent = [body for _, path, body in server.requests if path.endswith("/again")]
    assert [body["own_keys"] for body in sent] == [[key.line], [key.line]]
    assert all(body["ask"] for body in sent)


async def test_a_board_survives_its_server(opened: Opened, server: FanOutServer) -> None:
    """The server dies in the middle and comes back: what has happened meanwhile is there, and can be run again."""
    async with opened(120, 36) as drive:
        await to_board(drive)
        server.down = True
        server.cut()
        await drive.shows("unreachable since", "stale")
        server.finish(
            "db-1", state="failed", status=None, why="the control side ended while it ran"
        )
        server.down = False
        server.end()
        await drive.shows("✗ failed 3", "◇ never started 2", "● live")
        await drive.keys("N")
        await drive.shows("again on 2 hosts?", "db-2", "etl-3")


async def test_another_console_sees_the_same(opened: Opened, server: FanOutServer) -> None:
    """Nothing of a board is kept by the console: the next one opens the whole of it."""
    for _ in range(2):
        async with opened(120, 36) as drive:
            await to_board(drive)
            await drive.shows("● ok 35", "web-[31-35]")
    del server


async def test_hosts_are_listed_and_filtered(opened: Opened, server: FanOutServer) -> None:
    """`tab` shows hosts instead of groups, a filter only those that fit; export has every one that fits."""
    async with opened(120, 36) as drive:
        await to_board(drive)
        await drive.keys("tab")
        await drive.shows("hosts ─ 43", "web-1 ")
        await drive.keys("slash", "<state=failed>", "enter")
        await drive.shows("hosts ─ 2 of 43", "web-36", "exit 127")
        assert drive.console.view is not None
        assert [record["host"] for record in drive.console.view.exported()] == ["web-36", "web-37"]
        await drive.keys("escape")
        await drive.shows("hosts ─ 43")
        await drive.keys("tab")
        await drive.shows("same answer")
        del server


@pytest.mark.parametrize("size", SIZES)
async def test_what_a_running_host_prints_is_followed(
    opened: Opened, server: FanOutServer, size: tuple[int, int]
) -> None:
    """Below the table it is there as it comes, its end in sight, and once it has ended all of it from there."""
    lines = [f"line {number}\n" for number in range(1, 61)]
    server.says("db-1", "".join(lines[:30]))
    async with opened(*size) as drive:
        await to_board(drive)
        await drive.keys("tab", "slash", "<host=db-1>", "enter")
        await drive.shows("hosts ─ 1 of 43", "line 30", "following")
        server.says("db-1", "".join(lines[:50]))
        await drive.shows("line 50")
        await drive.keys("enter")
        await drive.shows("db-1 ─ ▶ running", "line 50", "following")
        assert "─ – ─" not in drive.screen()
        await drive.keys("escape")
        await drive.shows("hosts ─ 1 of 43", "line 50")
        server.finish("db-1", stdout="".join(lines))
        await drive.shows("● ok", "line 60")
        await drive.lacks("following")


async def test_a_slow_server_is_not_asked_over_and_over(
    opened: Opened, server: FanOutServer
) -> None:
    """An answer that takes longer than a second is waited for, and shown: it is not asked for anew meanwhile."""
    server.says("db-1", "slow but there\n")

    def asked(path: str) -> int:
        return sum(each == path for _, each, _ in server.requests)

    async with opened(120, 36) as drive:
        await to_board(drive)
        await drive.keys("tab", "slash", "<host=db-1>", "enter")
        await drive.shows("hosts ─ 1 of 43", "slow but there")
        path = f"/ssh/{server.fan.id}/hosts/db-1/output"
        gate = server.held["GET", path] = asyncio.Event()
        before, polls = asked(path), asked("/status")
        await drive.keys("enter")
        await drive.until(lambda: asked("/status") >= polls + 4)
        assert asked(path) == before + 1
        gate.set()
        await drive.shows("db-1 ─ ▶ running", "slow but there")


async def test_one_host_is_read_and_searched(opened: Opened, server: FanOutServer) -> None:
    """Ten thousand lines: search goes to a hit and on, `f` follows the end, `tab` goes to the next host."""
    text = "".join(f"line {number} of it\n" for number in range(10_000))
    server.finish("db-1", stdout=text)
    async with opened(120, 36) as drive:
        await drive.keys("2")
        await drive.shows("jobs ─ 4", "sshrpc")
        await drive.keys("enter")
        await drive.shows("same answer", "web-[1-30]")
        await drive.keys("tab", "slash", "<host=db-1>", "enter")
        await drive.shows("hosts ─ 1 of 43", "line 0 of it")
        await drive.keys("enter")
        await drive.shows("db-1 ─ ● ok", "1-32 of 10,000 lines", "line 0 of it")
        await drive.keys("ctrl+f", "<line 5000>", "enter")
        await drive.shows("line 5000 of it", "find line 5000")
        await drive.keys("n")
        await drive.shows("no further hit below")
        await drive.keys("escape", "G")
        await drive.shows("line 9999 of it", "following")
        await drive.keys("tab")
        await drive.shows("db-2 ─ · waiting", "waiting: it has not ended")


async def test_against_an_earlier_run(opened: Opened, server: FanOutServer) -> None:
    """Another run of the same is chosen first; hosts that ended otherwise are named, the others counted."""
    first = server.fan
    server.end()
    server.fan = server.start(HOSTS[:4], ["uname", "-r"])
    server.finish(*HOSTS[:3], stdout=LINUX)
    server.finish("web-4", state="unreachable", status=None, why="no route")
    async with opened(120, 36) as drive:
        await drive.keys("2")
        await drive.shows("jobs ─ 4", "sshrpc")
        await drive.keys("enter")
        await drive.shows("Linux 6.1.0")
        await drive.keys("e")
        await drive.shows("against which earlier run", "uname -r on 43 hosts")
        await drive.keys("enter")
        await drive.shows("ok → unreachable", "web-4", "the same answer on 3 hosts", "web-[1-3]")
    assert first.id != server.fan.id


@pytest.mark.parametrize("role", ["operator", "viewer"])
async def test_only_administrators_have_a_board(
    opened: Opened, server: FanOutServer, role: str
) -> None:
    """Others see the job as any other."""
    server.role = role
    async with opened(120, 36) as drive:
        await drive.keys("2")
        await drive.shows("jobs ─ 4", "sshrpc")
        await drive.keys("enter")
        await drive.shows("Attempts")
        assert not [path for _, path, _ in server.requests if path.startswith("/ssh")]


async def test_a_read_only_console_starts_nothing(opened: Opened, server: FanOutServer) -> None:
    """It shows the board, and says why it cannot run anything again."""
    async with opened(120, 36, read_only=True) as drive:
        await to_board(drive)
        await drive.keys("F")
        await drive.shows("this console is read-only")
        assert len(server.runs) == 1


async def test_the_board_as_command(opened: Opened, server: FanOutServer) -> None:
    """`.` tells each action here as a `dts ssh` line and as a request."""
    async with opened(160, 48) as drive:
        await to_board(drive)
        await drive.keys("full_stop")
        await drive.shows(f"dts ssh --again {server.fan.id} --which failed", '"which": "group"')
        assert isinstance(drive.console, Console)


async def test_more_answers_than_are_shown_are_counted(
    opened: Opened, server: FanOutServer
) -> None:
    """Hosts that all answer otherwise: the title says how many groups there are, the list how many hosts."""
    hosts = [f"web-{number}" for number in range(1, 621)]
    server.fan = server.start(hosts, ["hostname"])
    for host in hosts:
        server.finish(host, stdout=f"{host}\n")
    async with opened(120, 36) as drive:
        await drive.shows("● live")
        drive.console.go(Place("board", server.fan.id))
        await drive.shows("the 500 largest of 620 groups", "● ok 620")
        await drive.keys("tab")
        await drive.shows("hosts ─ 500 of 620", "120 more fit: narrow the filter")
        assert drive.console.view is not None
        assert len(drive.console.view.exported()) == 620
