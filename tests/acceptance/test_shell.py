"""A shell by hand: `dts ssh --tty` in a terminal, and the console's key for it; a whole stack, a real OpenSSH."""

import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from dts_core.clients import SyncAdminClient
from tests.support.processes import Up, environment, eventually, up
from tests.support.sshd import ssh_server
from tests.support.tmux import ENDED, terminal

pytestmark = [pytest.mark.external("sshd", "tmux"), pytest.mark.slow]
Stack = tuple[Up, SyncAdminClient]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with the virtual host web-1."""
    options = ["SetEnv HISTFILE=/dev/null"]
    with (
        ssh_server(options=options) as sshd,
        up(tmp_path_factory.mktemp("shell"), "--no-worker") as running,
    ):
        client = running.client(with_worker=False)
        client.vhosts.add("web-1", **sshd.vhost())
        yield running, client
        client.close()


def surroundings(stack: Up) -> dict[str, str]:
    kept = ("PATH", "HOME", "PYTHONPATH", "TMPDIR")
    env = {name: value for name, value in environment(stack.folder).items() if name in kept}
    more = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    return env | more | {"DTS_DATA": str(stack.data)}


class Lent:
    """`dts ssh --tty web-1` in a terminal of 80x24."""

    def __init__(self, stack: Up, host: str = "web-1") -> None:
        command = ["-m", "dts_core", "ssh", "--tty", host]
        self.process = pexpect.spawn(
            sys.executable, command, env=surroundings(stack), dimensions=(24, 80), timeout=60
        )
        self.fd = self.process.child_fd
        self.before = termios.tcgetattr(self.fd)

    def open(self) -> "Lent":
        self.process.expect_exact("to leave it")
        return self

    def runs(self, line: str, answer: str) -> str:
        self.process.send(f"{line}\r")
        self.process.expect(answer)
        return str(self.process.after)

    def end(self) -> int:
        """Its exit status, or minus the signal; the terminal is as it was."""
        self.process.expect(pexpect.EOF)
        assert termios.tcgetattr(self.fd) == self.before
        self.process.wait()
        return int(self.process.exitstatus or -(self.process.signalstatus or 0))


def test_the_terminal_is_lent_and_given_back(stack: Stack) -> None:
    """Size, its changes, Ctrl-C and the exit status pass; the terminal's modes are those of before."""
    lent = Lent(stack[0]).open()
    lent.runs("stty size", r"24 80")
    lent.process.setwinsize(40, 120)
    eventually(lambda: "40 120" in lent.runs("stty size", r"\d+ \d+\r"), what="the size follows")
    lent.runs("echo be''gun; sleep 1000", "begun")
    lent.process.send("\x03")
    lent.runs("echo status=$((0+$?))", "status=130")
    lent.process.send("exit 5\r")
    assert lent.end() == 5


def test_each_way_out_gives_the_terminal_back(stack: Stack) -> None:
    """The escape, a signal, a program that was cut off in its full screen."""
    lent = Lent(stack[0]).open()
    lent.runs(r"printf '\033[?1049h\033[?25l'; echo f''ull", "full")
    lent.process.send("\r~.")
    lent.process.expect_exact("\x1b[?1049l")
    lent.process.expect_exact("\x1b[?25h")
    assert lent.end() == 0
    assert b"was left" in (lent.process.before or b"")
    lent = Lent(stack[0]).open()
    lent.runs("echo re''ady", "ready")
    lent.process.kill(signal.SIGTERM)
    assert lent.end() == 128 + signal.SIGTERM


def test_what_is_refused_leaves_the_terminal_alone(stack: Stack) -> None:
    """A host that is not there is one line, and nothing was made raw; without a terminal it is wrong usage."""
    lent = Lent(stack[0], "nowhere")
    lent.process.expect_exact("there is no virtual host")
    assert lent.end() == 1
    command = [sys.executable, "-m", "dts_core", "ssh", "--tty", "web-1"]
    piped = subprocess.run(
        command, env=surroundings(stack[0]), input="", capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert piped.returncode == 2
    assert "needs a terminal" in piped.stderr


def test_a_server_that_is_killed_gives_the_terminal_back(tmp_path: Path) -> None:
    """Nobody ends the shell properly: the client notices, says so, and the terminal is as it was."""
    with ssh_server() as sshd, up(tmp_path, "--no-worker") as running:
        with running.client(with_worker=False) as client:
            client.vhosts.add("web-1", **sshd.vhost())
        lent = Lent(running).open()
        lent.runs("echo re''ady", "ready")
        running.kill()
        lent.process.expect_exact("is gone; the shell ended with it")
        assert lent.end() == 1


def test_the_console_steps_aside_for_a_shell(stack: Stack, tmp_path: Path) -> None:
    """One key on a virtual host, and on a host of the board; afterwards the console is where it was."""
    running, client = stack
    started = client.ssh.start(["web-1"], argv=["echo", "here"])
    assert started.job is not None
    job = started.job.id
    eventually(lambda: client.ssh.changes(job, 0, limit=1).is_over, what="it has ended")
    env = surroundings(running) | {"TERM": "tmux-256color"}
    with terminal(tmp_path, [sys.executable, "-m", "dts_tui.cli"], env) as at:
        at.shows("live")
        at.keys(":", "<vhosts>", "Enter")
        at.shows("virtual hosts ─ 1", "web-1")
        at.keys("!")
        at.shows("to leave it")
        at.keys("<stty size; echo o''ne>", "Enter")
        assert re.search(r"24 80\s+one", at.shows("24 80", "one"))
        at.keys("<echo be''gun; sleep 1000>", "Enter")
        at.shows("begun")
        at.keys("C-c")
        at.shows("^C")
        at.keys("<exit 3>", "Enter")
        at.shows("virtual hosts ─ 1", "the shell on web-1 ended with status 3")
        at.keys("2")
        at.shows("dts/sshrpc")
        at.keys("Enter")
        at.shows("same answer", "web-1")
        at.keys("!")
        at.shows("to leave it")
        at.keys("<echo t''wo>", "Enter")
        at.shows("two")
        at.keys("Enter", "<~.>")
        at.shows("same answer", "the shell on web-1 was left")
        at.keys("C-q")
        at.shows(f"{ENDED} 0")
    kinds = [each.op_type for each in client.operations.list(doc_id="web-1").items]
    assert kinds.count("shell") == kinds.count("shell_end")
