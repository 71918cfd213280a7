"""The command `dts-tui`, its text form, its feed and its gates, without a screen."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.message import Message

from dts_core.errors import ConfigError, ServerUnreachable
from dts_core.plain.dashboard import WIDTH, dashboard
from dts_core.settings import TuiFile, TuiSettings
from dts_core.text import is_safe
from dts_tui.app import Console
from dts_tui.cli import _size, main
from dts_tui.everywhere import rendered, write_private
from dts_tui.feed import Feed, ReadOnly
from dts_tui.messages import JobsChanged, LinesCame
from dts_tui.safe import CleanFilter, editable
from dts_tui.snapshot import portable, take
from dts_tui.state import World
from tests.tui.fake_server import FakeServer, make_host, make_job, make_line


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


# --- the command --------------------------------------------------------------------------------


def test_help_loads_neither_textual_nor_httpx() -> None:
    """`--help` is quick because it loads nothing that draws or talks."""
    code = (
        "import sys\nfrom dts_tui.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('textual', 'httpx', 'dts_core.clients', 'msgspec', 'rich') if m in sys.modules])"
    )
    done = run_python(code)
    assert done.stdout.rstrip().endswith("[]"), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--\x1b]0;x\x07\u202e"], 2),
        (["--area", "\x9b2J"], 2),
        (["--url", "http://x\x1b]0;y\x07", "--once"], 1),
        (["--size", "1\x1bx1", "--snapshot", "x.svg"], 1),
    ],
)
def test_wrong_usage_is_one_printable_line(arguments: list[str], status: int) -> None:
    """Whatever was typed, the answer is text, with the exit status of its kind."""
    told = CliRunner().invoke(main, arguments)
    assert told.exit_code == status
    assert told.stdout == ""
    assert told.stderr.startswith("dts-tui: ")
    assert told.stderr.count("\n") == 1
    assert is_safe(told.stderr.rstrip("\n"))


def test_the_console_loads_without_httpx_engine_or_worker() -> None:
    """Before the first paint nothing of the network, and never anything of the engine or the worker, is loaded."""
    done = run_python(
        "import sys, dts_tui.app, dts_tui.screens.wall\n"
        "bad = ('httpx', 'dts_worker', 'dts_core.api', 'dts_core.stores', 'dts_core.brokers', 'apsw')\n"
        "print([m for m in bad if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_once_says_in_one_line_that_nothing_runs(tmp_path: Path) -> None:
    """Exit 1 and one line with advice, no traceback."""
    result = CliRunner().invoke(main, ["--once", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output.startswith("dts-tui: no server runs on the data folder")
    assert result.output.count("\n") == 1


def test_once_says_in_one_line_that_nobody_answers() -> None:
    """A closed port is named with its address."""
    result = CliRunner().invoke(
        main, ["--once", "--url", "http://127.0.0.1:9"], env={"DTS_TOKEN": "x"}
    )
    assert result.exit_code == 1
    assert "http://127.0.0.1:9 cannot be reached" in result.output
    assert result.output.count("\n") == 1


def test_without_a_terminal_it_says_what_to_do() -> None:
    """No escape sequences into a pipe."""
    result = CliRunner().invoke(main, ["--url", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    assert "--once" in result.output
    assert "\x1b" not in result.output


@pytest.mark.parametrize("size", ["wide", "120", "10x10", "9999x10", "x"])
def test_a_wrong_size_is_refused(size: str) -> None:
    """The picture's size is checked."""
    with pytest.raises(ConfigError, match="is no size"):
        _size(size)


# --- text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mail", "says"), [("off", True), ("on", False), ("", False)])
def test_dashboard_says_that_mail_is_off(mail: str, says: bool) -> None:
    """Whoever waits for mail learns that none will come; an older server says nothing of it."""
    status = msgspec.structs.replace(FakeServer().status(), mail=mail)
    text = dashboard(status, [], "http://x")
    assert ("mail is off: alarms are shown here alone" in text) is says


def test_dashboard_as_text() -> None:
    """Hosts with their CPU and memory, jobs by state, queues, alarms, last jobs; no line wider than the limit."""
    server = FakeServer()
    text = dashboard(server.status(), server.jobs[:10], "http://x")
    for part in (
        "db-2",
        "97.0%",
        "62% of 32.0 GiB",
        "● done 36",
        "done 812/min",
        "jobs.default",
        "204",
        "ALARM  critical  db-2",
        "ValueError: count is 0",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert dashboard(server.status(), server.jobs, "http://x", ascii_only=True).isascii()


def test_dashboard_is_printable_whatever_the_data() -> None:
    """Hostile names and errors are visible text, a line each."""
    server = FakeServer()
    server.hosts = [make_host("a\x1b]52;c;QQ==\x07\nb")]
    text = dashboard(
        server.status(), [make_job(1, "failed", function="x\x9b2J\u202e")], "http://x\x1b"
    )
    assert all(is_safe(line) for line in text.splitlines())
    assert "\\x1b]52" in text


@pytest.mark.parametrize("kind", ["json", "csv", "text"])
def test_exports_are_printable(kind: str) -> None:
    """Every form cleans its values; a spreadsheet runs none of them."""
    text = rendered(kind, [{"a": "=1+1\x1b[2J", "b": "@x"}])
    assert all(is_safe(line) for line in text.splitlines())
    if kind == "csv":
        assert text.splitlines()[1] == "'=1+1\\x1b[2J,'@x"


def test_an_export_never_overwrites(tmp_path: Path) -> None:
    """A second file of the same name gets a number; a link put there is not followed."""
    (tmp_path / "target").write_text("precious")
    (tmp_path / "a.txt").symlink_to(tmp_path / "target")
    path = write_private(tmp_path / "a.txt", "x")
    assert path.name == "a-2.txt"
    assert (tmp_path / "target").read_text() == "precious"


# --- gates --------------------------------------------------------------------------------------


def test_the_backstop_cleans_every_segment() -> None:
    """Whatever drew it, a control in a segment becomes visible; styles stay."""
    style = Style(bold=True)
    line = [Segment("ok ", style), Segment("\x1b]52;c;QQ==\x07\x9b\u202e", style)]
    out = CleanFilter().apply(line, Color.parse("black"))
    assert out[0] == line[0]
    assert out[1].text == "\\x1b]52;c;QQ==\\x07\\x9b\\u202e"
    assert out[1].style is style
    assert (
        CleanFilter(ascii_only=True).apply([Segment("● é")], Color.parse("black"))[0].text == "* ?"
    )


def test_no_color_takes_the_colours_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR set, what leaves is grey; the backstop still comes last."""
    monkeypatch.setenv("NO_COLOR", "1")
    filters = Console(FakeServer().connect).get_line_filters()
    assert isinstance(filters[-1], CleanFilter)
    segments = [Segment("x", Style(color="#ff0000", bgcolor="#0000ff"))]
    for each in filters:
        segments = each.apply(segments, Color.parse("black"))
    style = segments[0].style
    assert style is not None
    for colour in (style.color, style.bgcolor):
        assert colour is not None
        assert len(set(colour.get_truecolor())) == 1


def test_source_with_controls_is_not_edited_as_it_looks() -> None:
    """Only what is shown as it is may be edited; tabs and line ends are."""
    assert editable("def main():\n\treturn 1\n")
    assert not editable("x = '\x1b'")


def test_a_picture_needs_no_network() -> None:
    """No remote font, and spaces kept."""
    svg = portable(
        '<svg class="x"><style>@font-face { src: url("https://cdn/x.woff2"); } a { font: Fira Code }</style></svg>'
    )
    assert "https" not in svg
    assert 'xml:space="preserve"' in svg


async def test_snapshot_is_a_picture_of_the_wall(tmp_path: Path) -> None:
    """Headless, with data."""
    server = FakeServer()
    await take(Console(server.connect, server="x"), tmp_path / "w.svg", (100, 30))
    text = (tmp_path / "w.svg").read_text("utf-8").replace("&#160;", " ")
    assert text.startswith("<svg")
    assert "db-2" in text
    assert "jobs.default" in text


async def test_snapshot_of_nothing_is_refused(tmp_path: Path) -> None:
    """No server, no picture."""
    server = FakeServer()
    server.down = True
    with pytest.raises(ServerUnreachable):
        await take(Console(server.connect), tmp_path / "w.svg", (100, 30))
    assert not (tmp_path / "w.svg").exists()


def test_settings_count() -> None:
    """Theme, read-only, ASCII, first area, keys and lines of tui.toml are used.

    A wrong key name is refused at the start.
    """
    given = TuiFile(
        console=TuiSettings(
            theme="light", read_only=True, ascii=True, start="logs", refresh_seconds=3
        ),
        keys={"cancel": "K"},
    )
    console = Console(FakeServer().connect, settings=given)
    assert (console.theme, console.read_only, console.ascii_only, console._start) == (
        "light",
        True,
        True,
        "logs",
    )
    assert console.registry["cancel"].keys == ("K",)
    assert console.world.stamp.interval == 3
    with pytest.raises(ConfigError, match="no such action"):
        Console(FakeServer().connect, settings=TuiFile(keys={"canzel": "K"}))


# --- the feed -----------------------------------------------------------------------------------


class Inbox:
    """Keeps what the feed posts."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def __call__(self, message: Message) -> bool:
        self.messages.append(message)
        return True

    async def of(self, kind: type[Any], seconds: float = 60.0) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            for message in self.messages:
                if isinstance(message, kind):
                    self.messages.remove(message)
                    return message
            assert time.monotonic() < deadline, self.messages
            await asyncio.sleep(0.01)


async def test_feed_refuses_writes_when_read_only() -> None:
    """Behind the keys there is a second gate: nothing leaves."""
    server = FakeServer()
    feed = Feed(server.connect, World(), Inbox(), read_only=True)
    with pytest.raises(ReadOnly):
        await feed.call(lambda client: client.cancel(["1"]), writes=True)
    assert server.requests == []


async def test_feed_coalesces_jobs() -> None:
    """A job that changes often within one flush comes once, in its last state."""
    server, inbox = FakeServer(), Inbox()
    feed = Feed(server.connect, World(), inbox)
    task = asyncio.create_task(feed.jobs())
    try:
        while not server.streams:
            await asyncio.sleep(0.01)
        for progress in range(10):
            server.push(
                "jobs", make_job(1, "running", progress=progress / 10, changed=progress + 1)
            )
        message = await inbox.of(JobsChanged)
        while message.jobs[-1].progress < 0.9:
            message = await inbox.of(JobsChanged)
        assert len(message.jobs) == 1
        server.push("reset", {})
        server.streams[0].push(b"event: reset\nid: 99\ndata: {}\n\n")
        assert (await inbox.of(JobsChanged)).missed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await feed.close()


async def test_feed_passes_over_what_it_does_not_understand() -> None:
    """An event of another shape neither ends the stream nor hides the next one."""
    server, inbox = FakeServer(), Inbox()
    feed = Feed(server.connect, World(), inbox)
    task = asyncio.create_task(feed.lines("x"))
    try:
        while not server.streams:
            await asyncio.sleep(0.01)
        server.push("logs", [{"strange": True}])
        server.push("logs", [make_line(5, "after")])
        message = await inbox.of(LinesCame)
        assert [line.text for line in message.lines] == ["after"]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await feed.close()
