"""`dts ssh --ask` and `--as-me` by hand: a real `dts up`, a terminal, an SSH agent; what was typed is nowhere then."""

import contextlib
import os
import pty
import select
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from dts_core.errors import ApiError
from tests.support.askinghost import CODE, PASSWORD, add_asking, asking_server, open_question
from tests.support.processes import Up, environment, eventually
from tests.support.sshd import ssh_server

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]
WAIT = 120.0
_TERMINAL = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
"""Takes the terminal as its own, then becomes the command."""


class Terminal:
    """A command at a terminal."""

    def __init__(self, up: Up, *words: str, **env: str) -> None:
        self._end, far = pty.openpty()
        command = [sys.executable, "-m", "dts_core.cli", "ssh", *words[:1], "--data", str(up.data)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TERMINAL, *command, *words[1:]],
            stdin=far, stdout=far, stderr=far, start_new_session=True,
            env=environment(up.data.parent) | env,
        )  # fmt: skip
        os.close(far)
        self.said = ""

    def until(self, text: str) -> None:
        """Read until it is said."""
        at = len(self.said)
        eventually(lambda: text in self._read()[at:], seconds=WAIT, what=f"it says {text!r}")

    def type(self, text: str) -> None:
        os.write(self._end, f"{text}\n".encode())

    def _read(self) -> str:
        while select.select([self._end], [], [], 0)[0]:
            try:
                self.said += os.read(self._end, 65536).decode("utf-8", "replace")
            except OSError:  # it has ended
                break
        return self.said

    def ended(self) -> int:
        eventually(
            lambda: (self._read(), self.process.poll())[1] is not None, seconds=WAIT, what="it ends"
        )
        self._read()
        return self.process.wait(WAIT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(WAIT)
        os.close(self._end)


def shown_by(*pids: int) -> str:
    """Arguments and environments of these processes and all below."""
    shown = []
    for pid in pids:
        for each in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                shown.append(" ".join(each.cmdline()))
                shown.append(
                    Path(f"/proc/{each.pid}/environ").read_bytes().decode("utf-8", "replace")
                )
    return "\n".join(shown)


def test_what_is_typed_is_nowhere_afterwards(tmp_path: Path) -> None:
    """No echo, no argument, no environment, no file; without a terminal nothing is begun."""
    up = Up(tmp_path, "--no-worker")
    try:
        with asking_server() as liar, up.client(with_worker=False) as client:
            add_asking(client, liar)
            nobody = subprocess.run(
                [sys.executable, "-m", "dts_core.cli", "ssh", "bank", "--ask", "--yes",
                 "--data", str(up.data), "--", "true"],
                env=environment(tmp_path), stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=WAIT, check=False,
            )  # fmt: skip
            assert nobody.returncode == 2
            assert "needs a terminal" in nobody.stderr
            typed = Terminal(up, "bank", "--ask", "--yes", "--", "echo", "came in")
            try:
                typed.until("Password:")
                typed.type(PASSWORD)
                typed.until("Code:")
                seen = shown_by(up.process.pid, typed.process.pid)
                typed.type(CODE)
                typed.until("came in")
                assert typed.ended() == 0, typed.said
            finally:
                typed.close()
            seen += typed.said + shown_by(up.process.pid)
            assert liar.answered == [[PASSWORD, CODE]]
            answers = client.operations.list(op_type="answer").items
            assert len(answers) == 1
            assert answers[0].operator == client.session().user
    finally:
        up.end()
    seen += up.said()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            seen += path.read_bytes().decode("latin-1")
    assert PASSWORD not in seen
    assert CODE not in seen


def test_a_killed_server_asks_anew(tmp_path: Path) -> None:
    """An answer to what was asked before is refused with the reason; the job is taken up again and asks again."""
    up = Up(tmp_path, "--no-worker")
    try:
        with asking_server() as liar:
            with up.client(with_worker=False) as client:
                add_asking(client, liar)
                started = client.ssh.start(["bank"], argv=["true"], ask=True)
                assert started.job is not None
                job = started.job.id
                before = open_question(client, job)
            up.kill()
            up = Up(tmp_path, "--no-worker")
            with up.client(with_worker=False) as client:
                eventually(
                    lambda: client.job(job).epoch == 2, seconds=WAIT, what="it is taken up again"
                )
                with pytest.raises(ApiError, match="has ended"):
                    client.ssh.answer(before, [PASSWORD, CODE])
                anew = open_question(client, job)
                assert anew.sealing_key != before.sealing_key
                assert client.ssh.answer(anew, [PASSWORD, CODE]).taken
                eventually(lambda: client.job(job).state == "done", seconds=WAIT, what="it is done")
    finally:
        up.end()


def test_the_own_agent_logs_in(tmp_path: Path) -> None:
    """A real ssh-agent and a real OpenSSH: the key is nowhere but in the agent, and each signature is told."""
    agent, adds = shutil.which("ssh-agent"), shutil.which("ssh-add")
    assert agent is not None
    assert adds is not None
    socket = tmp_path / "agent"
    process = subprocess.Popen([agent, "-D", "-a", socket], stdout=subprocess.DEVNULL)
    up = Up(tmp_path, "--no-worker")
    try:
        with ssh_server() as sshd, up.client(with_worker=False) as client:
            eventually(socket.exists, what="the agent is there")
            env = {"SSH_AUTH_SOCK": str(socket)}
            subprocess.run(
                [adds, "-q", "-"], input=sshd.user_key, text=True, env=os.environ | env, check=True
            )
            given = sshd.vhost() | {"user": "nobody", "auth": "ask"}
            del given["ssh_pem_cert"]
            client.vhosts.add("web-1", **given)
            typed = Terminal(
                up, "web-1", "--as-me", "--login", sshd.user, "--yes", "--", "id", "-un", **env
            )
            try:
                assert typed.ended() == 0, typed.said
            finally:
                typed.close()
            assert f"web-1: log in as {sshd.user} with key SHA256:" in typed.said
            assert f"\n{sshd.user}\r\n" in typed.said
            secret = sshd.user_key.split("\n")[2]
            assert secret not in shown_by(up.process.pid)
    finally:
        up.end()
        process.terminate()
        process.wait(WAIT)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
