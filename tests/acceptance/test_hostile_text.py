"""Hostile text on its real ways into the product: nothing of it reaches a terminal as anything but text."""

import asyncio
import json
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pexpect
import pyte
import pytest

from dts_core.brokers.base import Delivery, Message, Outgoing, QueueKind, QueueSpec
from dts_core.brokers.link import LinkBroker, unix_stream
from dts_core.clients import SyncAdminClient
from dts_core.codec import decode, encode
from dts_core.errors import ApiError, Forbidden
from dts_core.model import (
    Disk,
    JobError,
    JobMessage,
    JobResult,
    JobResults,
    LogBatch,
    LogRecord,
    Progress,
    ProgressReport,
)
from dts_core.states import JobEvent
from dts_core.text import is_safe
from tests.support.beats import make_beat
from tests.support.processes import Up, environment, eventually, up

ROOT = Path(__file__).parents[2]
COLUMNS, ROWS = 100, 30
PAYLOADS = (
    "clear\x1b[2J\x1b[Hend",
    "osc\x1b]52;c;aGFjaw==\x07end",
    "title\x1b]0;owned\x07\x1b]2;owned\x1b\\end",
    "c1\x9b2J\x9d0;owned\x9cend",
    "bidi\u202egnp.exe\u2066x",
    "zero\u200bwid\u2060th\ufeff\u00ad\U0001d173\U000e0041",
    "ctl\x07\x08\r\x7f\ttab",
    "[/b]close[/]",
    "[@click=app.quit]x[/]",
    "[",
    "[red]r",
    "back\\",
    "\x1bP1$r0m\x1b\\\x1b_G\x1b\\\x1bc",
    "sep\u2028a\u2029b\x85c",
)
ALL = " ".join(PAYLOADS)
BYTES = ALL.encode() + b" raw\x9b2J\x9d0;owned\x9c \xff\xfe nul\x00 lone\xed\xa0\x80 end"
MEGABYTE = b"m" * 1_000_000
FORMS = ("\\x1b]52;c;", "\\x9b", "\\u202e", "[/b]close[/]", "[@click=app.quit]x[/]", "\\u200b")

SOURCE = '''"""Summary DOC."""
import logging, os, sys
from dts_core import job

SAID = SAID_HERE
RAW = RAW_HERE


class _Odd(Exception):
    pass


def main(a\ufe0fb: "ANNOTATION" = DEFAULT, fail: bool = False):
    """Does DOC.

    Args:
        fail: whether DOC
    """
    print(SAID)
    print(SAID, file=sys.stderr)
    logging.getLogger(SAID).error(SAID)
    sys.stdout.flush()
    os.write(1, RAW + b"\\n" + RAW)
    job.progress(0.5, SAID)
    if fail:
        odd = type("Odd" + SAID.replace(chr(0), ""), (_Odd,), {})
        exec(compile("def f(odd, said): raise odd(said)", SAID.replace(chr(0), ""), "exec"), globals())
        f(odd, SAID + chr(0) + chr(0xD800))
    return {SAID: [SAID, {"deep" + SAID: SAID}], "lone": "x" + SAID}
'''
# --- how it comes in


def source_of(text: str, raw: bytes) -> str:
    """A function with the text wherever a source may have one."""
    inside = text.replace("\r", "").replace("\\", "\\\\").replace('"', "'")
    return (
        SOURCE.replace("SAID_HERE", ascii(text + "\x00"))
        .replace("RAW_HERE", ascii(raw))
        .replace("ANNOTATION", inside)
        .replace("DEFAULT", f'"{inside}"')
        .replace("DOC", inside)
    )


class Poisoner:
    """Sends text on every way that a log file, a job, a worker and a caller have."""

    def __init__(self, stack: Up, client: SyncAdminClient, log: Path) -> None:
        self._stack, self._client, self._log = stack, client, log

    def poison(self, name: str, text: str, raw: bytes) -> tuple[str, list[str]]:
        """The function and jobs that hold `text` afterwards."""
        with self._log.open("ab") as file:
            file.write(b"ERROR " + raw + b"\n" + raw + b" ERROR " + MEGABYTE + b"\n")
            file.write(
                b"Traceback (most recent call last):\n  File " + raw + b"\nE: " + raw + b"\n"
            )
        function = f"test/{name}"
        self._client.functions.add(function, source_of(text, raw), note=text[:400])
        jobs = [
            self._client.submit(function).id,
            self._client.submit(function, kwargs={"fail": True}).id,
            self._client.submit("test/any", args=[text], kwargs={"b": {text: text}}).id,
            self._client.submit("test/any", args=[1], queue="trap", key=f"k-{name}").id,
            self._client.submit("test/any", args=[2], queue="trap").id,
        ]
        for job in jobs[:3]:
            self._client.wait_for(job, timeout_seconds=60)
        asyncio.run(self._forge(name, text))
        eventually(
            lambda: all(self._client.job(job).finished_at for job in jobs[3:]), what="forged ends"
        )
        self._refusals(text)
        return function, jobs

    def _refusals(self, text: str) -> None:
        """What names anything but text may be: refused, and repeated in the refusal by nobody as it came."""
        client = self._client
        calls: list[Callable[[], object]] = [
            lambda: client.functions.add(f"test/{text}", "def main(): pass"),
            lambda: client.users.add(text, role="viewer", secret="x" * 20),
            lambda: client.namespaces.add(text),
            lambda: client.submit(f"test/{text}"),
            lambda: client.jobs(state=text),
            lambda: client.job(text),
            lambda: client.functions.add("test/bad", f"def main(:\n {text}"),
        ]
        for call in calls:
            if is_safe(text):
                continue
            with pytest.raises(ApiError) as refused:
                call()
            assert is_safe(str(refused.value))

    async def _forge(self, name: str, text: str) -> None:
        """A worker that lies in every field that it may fill."""
        link = await LinkBroker.connect(
            unix_stream(self._stack.data / "link.sock"), host=f"{name}-host", worker=f"w{text}"
        )
        try:
            await self._report(link, name, text)
            taken: asyncio.Queue[Delivery] = asyncio.Queue()
            await link.declare(QueueSpec("jobs.trap", QueueKind.WORK, claimed=True))
            taking = await link.consume("jobs.trap", partial(_put, taken), prefetch=10)
            first, second = [await asyncio.wait_for(taken.get(), 60) for _ in range(2)]
            job = decode(first.message.body, JobMessage)
            error = JobError(type=text, message=f"{text}\n{text}", traceback=f"{text}\n{text}")
            progress = Progress(id=job.id, epoch=first.epoch, fraction=0.5, text=text)
            await self._send(
                link, "heartbeats",
                ProgressReport(host=f"{name}-host", worker=f"w{text}", items=[progress]),
            )  # fmt: skip
            now = datetime.now(UTC)
            result = JobResult(
                id=job.id, epoch=first.epoch, event=JobEvent.FAIL, error=error, retry=False,
                started_at=now, finished_at=now,
            )  # fmt: skip
            await self._send(
                link, "results",
                JobResults(host=f"{name}-host", worker=f"w{text}", results=[result]),
            )  # fmt: skip
            taking.ack([first.tag])
            taking.nack([second.tag], requeue=False, reason=text)
            await link.declare(QueueSpec("jobs.trap", QueueKind.WORK, claimed=True))
        finally:
            await link.close()

    async def _report(self, link: LinkBroker, name: str, text: str) -> None:
        host = f"{name}-host"
        beat = make_beat(
            host, worker=f"w{text}", boot_id=text, version=text, python=text, system=text, loop=text,
            disks=[Disk(mount=f"/{text}", total=100, used=99)], functions={text: text},
            counts=[(1, text, 3)], queues=[text], missing=[text], memory_available=1,
        )  # fmt: skip
        await self._send(link, "heartbeats", beat)
        now = datetime.now(UTC)
        records = [
            LogRecord(now, "", f"/var/log/{text}", 40, text, "", ""),
            LogRecord(now, text, text, 40, f"{text}\n{text}", text, text),
        ]
        await self._send(link, "logs", LogBatch(host=host, worker=f"w{text}", records=records))
        if not is_safe(text):
            with pytest.raises(Forbidden):
                await self._send(link, "heartbeats", make_beat(text))
            with pytest.raises(Forbidden):
                await self._send(link, "logs", LogBatch(host=text, worker="w", records=records))

    @staticmethod
    async def _send(link: LinkBroker, queue: str, record: object) -> None:
        message = Message(encode(record), type=type(record).__name__)
        await link.publish([Outgoing(queue, message)])


def _put(taken: "asyncio.Queue[Delivery]", many: list[Delivery]) -> None:
    for each in many:
        taken.put_nowait(each)


# --- how it is looked at


class Terminal:
    """A program in a pty, and every byte that it wrote."""

    def __init__(self, arguments: list[str], home: Path) -> None:
        env = environment(home) | {
            "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8",
        }  # fmt: skip
        env.pop("NO_COLOR", None)
        self.out = bytearray()
        self.child: pexpect.spawn[bytes] = pexpect.spawn(
            sys.executable,
            arguments,
            dimensions=(ROWS, COLUMNS),
            env=env,
            timeout=60,
            cwd=str(home),
        )

    def until(self, what: str, seconds: float = 60.0) -> None:
        """Read until the text of what was written holds this."""
        deadline = time.monotonic() + seconds
        while what not in screen_of(bytes(self.out)):
            assert time.monotonic() < deadline, f"{what!r} not in\n{screen_of(bytes(self.out))}"
            self._read(0.1)

    def keys(self, *keys: str | bytes) -> None:
        """Send keys; after each one wait for its answer, where it has one, and read until nothing more comes."""
        for key in keys:
            self.child.send(key)
            quiet = time.monotonic() + 1.0
            wait = 0.3
            while time.monotonic() < quiet and self._read(wait):
                wait = 0.05

    def end(self, seconds: float = 60.0) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + seconds
        while self.child.isalive() and time.monotonic() < deadline:
            self._read(0.1)
        self._read(0.1)
        self.close()
        return self.child.exitstatus if self.child.exitstatus is not None else -1

    def close(self) -> None:
        """Make sure that it is gone."""
        self.child.close(force=True)

    def _read(self, seconds: float) -> bool:
        try:
            self.out += self.child.read_nonblocking(1 << 16, timeout=seconds)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return False
        return True


_OSC = re.compile(rb"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_CSI = re.compile(rb"\x1b\[([\x30-\x3f]*)([\x20-\x2f]*)([\x40-\x7e])")
_OTHER = re.compile(rb"\x1b(?![\[\]])[\x20-\x2f]*.", re.DOTALL)
_PYTE = frozenset(b"HmJKABCDGd")


def screen_of(out: bytes) -> str:
    """What a terminal shows now."""
    return "\n".join(emulated(out).display)


def emulated(out: bytes) -> pyte.Screen:
    """A terminal that was fed with it; private sequences of newer terminals, which pyte stumbles over, left out."""
    screen = pyte.Screen(COLUMNS, ROWS)

    def known(match: "re.Match[bytes]") -> bytes:
        private = match[1][:1] in (b"<", b"=", b">", b"?") or match[2] or match[3][0] not in _PYTE
        return b"" if private else match.group()

    start = max(out.rfind(b"\x1b[?1049h"), 0)
    pyte.ByteStream(screen).feed(_CSI.sub(known, bytes(out[start:])))
    return screen


@dataclass
class Shapes:
    """Which control sequences a program wrote, by kind."""

    osc: set[bytes] = field(default_factory=set)
    csi: set[tuple[bytes, bytes, bytes]] = field(default_factory=set)
    other: set[bytes] = field(default_factory=set)

    @classmethod
    def of(cls, out: bytes) -> "Shapes":
        return cls(
            {m.group() for m in _OSC.finditer(out)},
            {(m[1][:1] if m[1][:1] in b"<=>?" else b"", m[2], m[3]) for m in _CSI.finditer(out)},
            {m.group() for m in _OTHER.finditer(_CSI.sub(b"", _OSC.sub(b"", out)))},
        )


def bad_of(out: bytes) -> list[str]:
    """Code points between the sequences that are no text."""
    rest = _OTHER.sub(b"", _CSI.sub(b"", _OSC.sub(b"", out))).decode("utf-8")
    rest = rest.replace("\r", "").replace("\n", "")
    return sorted({f"U+{ord(c):04X} {unicodedata.name(c, '')}" for c in rest if not is_safe(c)})


def paste(text: str) -> str:
    """As a terminal sends what was pasted."""
    return f"\x1b[200~{text}\x1b[201~"


def walk(stack: Up, home: Path, text: str, function: str, jobs: list[str]) -> bytes:
    """Go through every screen of the console with the text pasted into filters, forms and commands."""
    console = Terminal(["-m", "dts_tui.cli", "--data", str(stack.data)], home)
    esc = "\x1b"
    safe = text.replace("\x1b[201~", "")  # the one thing that only a terminal can take out
    try:
        console.until("live")
        console.keys("1", "j", "\r", esc, "g", "\t", "\t", "\t", "?", esc)
        console.keys("2", *["j"] * 2, "g")
        for job in jobs:
            console.keys(f":job {job}\r", "\t", "\t", "\t", "\t", "\t", esc)
        console.keys("2", "d", esc, "/", paste(safe), "\r", esc, "/", esc, "C", esc, "R", esc)
        console.keys("3", "G", "\r", "\t", "\t", "\t", "\t", esc)
        console.keys(f":function {function}\r", "\t", "G", "\t", "\t", "\t", "e", esc, esc)
        console.keys(
            f":function {function}\r", "s", paste(safe), "\t", paste(safe), "\r", esc, esc, esc
        )
        console.keys("n", paste(safe), "\r", esc, esc, esc)
        console.keys("4", "j", "\r", "\t", "\t", "\t", "\t", "\t", esc, "k", "\r", "\t", "\t", esc)
        console.keys("5", "w", "g", "G", "\r", esc, "/", paste(safe), "\r", esc, "x", "w")
        console.keys("6", "\r", esc, "7", "d", "j", "\r", esc, "?", esc, esc)
        console.keys("2", b"\xff\x9b2J\xfe", esc, paste(safe), esc)  # no field: nothing is pressed
        console.keys(":", paste(safe), "\r", esc, ":me\r", "\r", esc, "1", esc, "1")
        console.until("live")
        console.keys("\x11")
        status = console.end(10)
        out = bytes(console.out)
        assert status == 0, screen_of(out)
        assert b"Traceback" not in out[out.rfind(b"\x1b[?1049l") :]
        return out
    finally:
        console.close()


def commands(stack: Up, home: Path, text: str, function: str, jobs: list[str]) -> dict[str, bytes]:
    """Every command that shows what others wrote, each in a terminal."""
    plain = [
        ["jobs", "--limit", "50"], ["jobs", "--json"], *[["job", each] for each in jobs],
        ["job", jobs[1], "--json"], ["logs", "-n", "200"], ["logs", "--json"], ["functions", "list"],
        ["functions", "show", function], ["functions", "show", function, "--source"],
        ["functions", "show", function, "--source", "--json"], ["status"], ["status", "--json"], ["me"],
        ["submit", function, "--wait"], ["submit", function, "--kw", "fail=true", "--wait"],
        ["submit", "test/any", "--arg", json.dumps(text), "--wait", "--json"],
    ]  # fmt: skip
    shown = text.replace("\x00", "")
    wrong = [
        ["job", shown], ["submit", shown], ["submit", "test/any", "--arg", shown],
        ["functions", "show", shown], ["jobs", "--state", shown], ["logs", "--level", shown],
        ["cancel", shown], [shown], ["jobs", f"--{shown}"], ["status", "--url", shown],
        ["logs", "--text", shown], ["login", "--url", "http://127.0.0.1:9/" + shown],
        ["functions", "add", shown, shown], ["up", "-c", shown], ["jobs", "--cursor", shown],
    ]  # fmt: skip
    found = {}
    for arguments in [*plain, *wrong]:
        terminal = Terminal(
            [
                "-m",
                "dts_core.cli",
                *arguments,
                *([] if "--url" in arguments or "up" in arguments else ["--data", str(stack.data)]),
            ],
            home,
        )
        status = terminal.end()
        found[" ".join(arguments)] = bytes(terminal.out)
        assert b'Traceback (most recent call last):\r\n  File "/' not in terminal.out
        assert status in (0, 1, 2), terminal.out
    return found


# --- what is asserted


@dataclass
class Seen:
    """What came out of one stack."""

    walked: bytes
    printed: dict[str, bytes]
    said: str
    logs: str


@contextmanager
def stack_of(home: Path) -> Iterator[tuple[Up, SyncAdminClient, Path]]:
    """A stack whose worker follows a log file of ours."""
    home.mkdir()
    log = home / "app.log"
    log.write_bytes(b"")
    etc = home / "etc"
    shutil.copytree(ROOT / "etc", etc)
    (etc / "worker.toml").write_text(
        f'[agent]\npaths = ["{log}"]\nlevel = "info"\nfrom_start = true\npoll_seconds = 0.1\n'
    )
    with up(home, "--config-dir", str(etc)) as stack, stack.client() as client:
        client.namespaces.add("test")
        client.functions.add("test/any", "def main(a=1, b=None):\n    return [a, b]\n")
        yield stack, client, log


def look(home: Path, name: str, text: str, raw: bytes) -> Seen:
    """Poison a stack of its own with a text, and look at it in every way."""
    with stack_of(home) as (stack, client, log):
        function, jobs = Poisoner(stack, client, log).poison(name, text, raw)
        eventually(lambda: client.logs(text="end").items, what="the lines of the log file")
        with ThreadPoolExecutor(2) as pool:
            printed = pool.submit(commands, stack, home, text, function, jobs)
            walked = walk(stack, home, text, function, jobs)
            logs = "".join(path.read_text() for path in (stack.data / "logs").iterdir())
            return Seen(walked, printed.result(), stack.said(), logs)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """The same walk over a stack with harmless text and over one with hostile text."""
    folder = tmp_path_factory.mktemp("h")
    with ThreadPoolExecutor(2) as pool:
        calm = pool.submit(look, folder / "calm", "calm", "calm end", b"calm end")
        hostile = pool.submit(look, folder / "hostile", "hostile", ALL, BYTES)
        return {"calm": calm.result(), "hostile": hostile.result()}


def test_no_text_becomes_a_command_of_the_terminal(seen: dict[str, Seen]) -> None:
    """The console writes the kinds of sequences that it writes for harmless text, and no other; none carries data."""
    calm, hostile = Shapes.of(seen["calm"].walked), Shapes.of(seen["hostile"].walked)
    assert hostile.osc <= calm.osc
    assert hostile.csi <= calm.csi
    assert hostile.other <= calm.other
    assert not any(b"52;" in each or b"owned" in each for each in hostile.osc)


def test_what_the_console_writes_is_printable(seen: dict[str, Seen]) -> None:
    """No C0 but line ends, no C1, no bidi or zero-width control; all of it is UTF-8."""
    assert bad_of(seen["hostile"].walked) == []


def test_hostile_text_is_shown_in_visible_form(seen: dict[str, Seen]) -> None:
    """It was there, in the console and in the commands, and can be read."""
    walked = _CSI.sub(b"", seen["hostile"].walked).decode()
    assert [form for form in FORMS if form not in walked] == []
    printed = b"".join(seen["hostile"].printed.values()).decode()
    assert [form for form in FORMS if form not in printed] == []


def test_the_screen_stays_the_consoles(seen: dict[str, Seen]) -> None:
    """A terminal that was fed with the whole walk shows the frame, and the title that it had."""
    out = seen["hostile"].walked
    end = out.rfind(b"\x1b[?1049l")
    screen = emulated(out[: end if end > 0 else None])
    assert "owned" not in screen.title + screen.icon_name
    assert "dts" in screen.display[0]
    assert "live" in screen.display[0]


def test_commands_write_nothing_but_text(seen: dict[str, Seen]) -> None:
    """In a terminal no command writes any control sequence at all, whatever it shows or was given."""
    wrong = {}
    for name, out in seen["hostile"].printed.items():
        shapes = Shapes.of(out)
        if shapes.osc or shapes.csi or shapes.other or bad_of(out):
            wrong[name] = (shapes, bad_of(out))
    assert wrong == {}


def test_logs_and_output_of_the_stack_are_text(seen: dict[str, Seen]) -> None:
    """What the server and its workers write about it can be read in a terminal, and none of them failed."""
    for text in (seen["hostile"].said, seen["hostile"].logs):
        bad = {f"U+{ord(c):04X}" for c in text if c != "\n" and not is_safe(c)}
        assert bad == set()
        assert "Traceback (most recent call last)" not in text.replace("File \\x1b", "")
