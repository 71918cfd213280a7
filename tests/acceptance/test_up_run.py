"""`dts run`, what `make run` calls: the stack and the console in one, with and without a terminal."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import psutil
import pytest

from tests.support.processes import environment, eventually, up

RUN = [sys.executable, "-m", "dts_core.cli", "run", "--data"]


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def owner_of(data: Path) -> int:
    return int(json.loads((data / "endpoint.json").read_bytes())["pid"])


def piped(folder: Path, data: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*RUN, str(data)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        env=environment(folder),
        check=False,
    )


def test_without_a_terminal_it_shows_a_result_and_the_dashboard(tmp_path: Path) -> None:
    """A sample job's real result and this host's real figures on standard output, status 0, nothing left."""
    done = piped(tmp_path, tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert '"words":' in done.stdout
    assert psutil.virtual_memory().total
    assert "GiB" in done.stdout
    assert "\x1b" not in done.stdout
    assert not (tmp_path / "data" / "endpoint.json").exists()
    assert "starting on" in done.stderr


def test_running_stack_is_used_and_left_running(tmp_path: Path) -> None:
    """When a stack runs on the folder already, that one is shown, and goes on afterwards."""
    with up(tmp_path) as stack:
        stack.client().close()
        done = piped(tmp_path, stack.data)
        assert done.returncode == 0, done.stderr
        assert "using the stack that runs on" in done.stderr
        assert stack.process.poll() is None
        stack.client().close()


def test_start_that_fails_is_told_with_its_reason(tmp_path: Path) -> None:
    """The stack's own last words, in one line, status 1."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "dts.db").write_bytes(b"this is no database" * 1000)
    done = piped(tmp_path, data)
    assert done.returncode == 1
    assert "damaged" in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("dts: ")


@pytest.mark.parametrize("killed", [False, True], ids=["quit", "killed"])
def test_stack_ends_with_its_console(tmp_path: Path, killed: bool) -> None:
    """In a terminal the console opens; when it ends, or is killed with all of `dts run`, so does the stack."""
    data = tmp_path / "data"
    terminal = pexpect.spawn(
        RUN[0],
        [*RUN[1:], str(data)],
        env={**environment(tmp_path), "TERM": "xterm-256color"},
        dimensions=(24, 80),
        timeout=60,
    )
    try:
        terminal.expect(r"\x1b\[\?1049h")  # the console has taken the screen
        pid = owner_of(data)
        family = psutil.Process(pid).children(recursive=True)
        if killed:
            assert terminal.pid is not None
            os.kill(terminal.pid, signal.SIGKILL)
        else:
            terminal.send("\x11")  # Ctrl-Q
            terminal.expect(pexpect.EOF)
        eventually(lambda: not lives(pid), what="the stack has ended")
        eventually(lambda: not any(lives(each.pid) for each in family), what="its workers too")
        assert not (data / "endpoint.json").exists()
    finally:
        terminal.close(force=True)
    if not killed:
        assert terminal.exitstatus == 0
