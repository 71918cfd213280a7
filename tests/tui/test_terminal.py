"""What reaches a real terminal. Headless tests cannot show it: these read the bytes of a pty."""

import os
import re
import sys
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pexpect
import pyte
import pytest

from dts_core.text import is_safe

pytestmark = [pytest.mark.slow, pytest.mark.serial]
SCRIPT = str(Path(__file__).with_name("hostile_console.py"))
WALK = [
    "1",
    "2",
    "\r",
    "\t",
    "\t",
    "\t",
    "\t",
    "\x1b",
    "G",
    "\r",
    "\t",
    "\x1b",
    "3",
    "\r",
    "\x1b",
    "4",
    "\r",
    "\t",
    "\t",
    "\t",
    "\t",
    "\x1b",
    "5",
    "w",
    "g",
    "?",
    "\x1b",
    "6",
    "7",
    "d",
    "\x1b",
    "1",
    ".",
]
_OSC = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_CSI = re.compile(r"\x1b\[([\x30-\x3f]*)([\x20-\x2f]*)([\x40-\x7e])")
_OTHER = re.compile(r"\x1b(?![\[\]])(.)")
_DATA = "calm|52;|0;owned|aGFjaw"


def walk(mode: str) -> str:
    """Every byte the console wrote while it was walked through, decoded."""
    env = dict(os.environ) | {
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
    }
    env.pop("NO_COLOR", None)
    child: pexpect.spawn[bytes] = pexpect.spawn(
        sys.executable, [SCRIPT, mode], dimensions=(40, 140), env=env, timeout=60
    )
    out = bytearray()
    try:
        _read_until(child, out, b"live", 30)
        for key in WALK:
            child.send(key)
            _drain(child, out)
        child.send("\x11")
        _drain(child, out, until_end=True)
    finally:
        child.close(force=True)
    return out.decode("utf-8")


def _read_until(child: "pexpect.spawn[bytes]", out: bytearray, what: bytes, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while what not in out:
        assert time.monotonic() < deadline, bytes(out[-2000:])
        try:
            out += child.read_nonblocking(65536, timeout=0.2)
        except pexpect.TIMEOUT:
            continue


def _drain(child: "pexpect.spawn[bytes]", out: bytearray, *, until_end: bool = False) -> None:
    """Read until the console has painted something and then been silent for a moment."""
    deadline = time.monotonic() + (15 if until_end else 3)
    silence = 1.2
    while time.monotonic() < deadline:
        try:
            out += child.read_nonblocking(65536, timeout=silence)
        except pexpect.TIMEOUT:
            if not until_end:
                return
        except pexpect.EOF:
            return
        silence = 0.12


@pytest.fixture(scope="module")
def walks() -> dict[str, str]:
    """Both walks, side by side."""
    modes = ("hostile", "calm")
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(modes, pool.map(walk, modes), strict=True))


@pytest.fixture(scope="module")
def hostile(walks: dict[str, str]) -> str:
    return walks["hostile"]


@pytest.fixture(scope="module")
def calm(walks: dict[str, str]) -> str:
    return walks["calm"]


def test_no_data_becomes_a_command_of_the_terminal(hostile: str, calm: str) -> None:
    """Every control sequence is one that the console writes for harmless data too; none carries data."""
    assert {m.group() for m in _OSC.finditer(hostile)} <= {m.group() for m in _OSC.finditer(calm)}
    assert not any("52;" in m.group() for m in _OSC.finditer(hostile))
    shapes = {(m[1][:1] if m[1][:1] in "<=>?" else "", m[2], m[3]) for m in _CSI.finditer(hostile)}
    own = {(m[1][:1] if m[1][:1] in "<=>?" else "", m[2], m[3]) for m in _CSI.finditer(calm)}
    assert shapes <= own
    assert {m[1] for m in _OTHER.finditer(hostile)} <= {m[1] for m in _OTHER.finditer(calm)}
    assert "\x1b[2J" not in hostile.replace("\x1b[2J", "", calm.count("\x1b[2J"))


def test_what_is_left_between_sequences_is_printable(hostile: str) -> None:
    """No C0 but line ends, no C1, no bidi or zero-width control reaches the terminal."""
    text = _OTHER.sub("", _CSI.sub("", _OSC.sub("", hostile)))
    rest = text.replace("\r", "").replace("\n", "")
    bad = sorted({f"U+{ord(c):04X} {unicodedata.name(c, '')}" for c in rest if not is_safe(c)})
    assert bad == []


def test_hostile_text_is_shown_in_visible_form(hostile: str) -> None:
    """What was taken out can be read: escapes as `\\x1b`, bidi controls as `\\u202e`, markup as it was typed."""
    for form in ("\\x1b]52;c;", "\\x9b2J", "\\u202e", "\\x00", "[/b]closing", "[@click=app.quit]"):
        assert form in _CSI.sub("", hostile), form


def test_hostile_screen_is_still_the_consoles(hostile: str) -> None:
    """After the whole walk a terminal emulator shows the frame, and its title was never set by data."""
    screen = pyte.Screen(140, 40)
    stream = pyte.Stream(screen)
    end = hostile.rfind("\x1b[?1049l")
    stream.feed(_CSI.sub(_plain, hostile[: end if end > 0 else None]))
    shown = "\n".join(screen.display)
    assert "owned" not in screen.title
    assert "dts" in screen.display[0]
    assert "same as command" in shown


def _plain(match: "re.Match[str]") -> str:
    """Only sequences that pyte knows; it stumbles over private ones of newer terminals."""
    return (
        match.group()
        if match[1][:1] not in ("<", "=", ">", "?") and not match[2] and match[3] in "HmJKABCD"
        else ""
    )
