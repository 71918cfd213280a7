"""`dts ssh --ask` and `--as-me` by hand: a real `dts up`, a terminal, an SSH agent; what was typed is nowhere then."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dts_core.errors import ApiError
from tests.support.askinghost import CODE, PASSWORD, add_asking, asking_server, open_question
from tests.support.processes import Up, environment, eventually
from tests.support.setups import FAKE_SUDO, SUDO
from tests.support.sshd import ssh_server
from tests.support.typed import Typed, shown_by

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]
WAIT = 120.0


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
            typed = Typed(up.data, "ssh", "bank", "--ask", "--yes", "--", "echo", "came in")
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


def test_a_set_up_asks_at_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dts vhost init --ask`: what the login and sudo want is typed unseen, and in no argument, variable or file."""
    programs, record = tmp_path / "bin", tmp_path / "record"
    programs.mkdir()
    record.mkdir()
    (programs / "sudo").write_text(FAKE_SUDO)
    (programs / "sudo").chmod(0o755)
    up = Up(tmp_path, "--no-worker")
    # The server that asks runs commands of this process.
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("RECORD", str(record))
    try:
        with asking_server() as liar, up.client(with_worker=False) as client:
            add_asking(client, liar)
            client.vhosts.update("bank", mode="agent")
            words = ["bank", "--ask", "--scope", "system", "--dry-run"]
            typed = Typed(up.data, "vhost", "init", *words)
            try:
                for prompt, answer in (
                    ("Password:", PASSWORD), ("Code:", CODE), ("sudo password of ann", SUDO),
                ):  # fmt: skip
                    typed.until(prompt)
                    seen = shown_by(up.process.pid, typed.process.pid)
                    typed.type(answer)
                assert typed.ended() == 0, typed.said
            finally:
                typed.close()
            assert "bank: would be changed" in typed.said
            seen += typed.said + shown_by(up.process.pid)
            assert (record / "sudo").read_text().count("-S -p") == 1
            seen += (record / "sudo").read_text()
            refused = Typed(up.data, "vhost", "remove", "bank", "--yes", "--login", "eve")
            try:
                assert refused.ended() == 2
            finally:
                refused.close()
    finally:
        up.end()
    shutil.rmtree(programs)  # which has the password that is right
    seen += up.said()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            seen += path.read_bytes().decode("latin-1")
    for secret in (PASSWORD, CODE, SUDO):
        assert secret not in seen


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
            typed = Typed(
                up.data,
                "ssh",
                "web-1",
                "--as-me",
                "--login",
                sshd.user,
                "--yes",
                "--",
                "id",
                "-un",
                **env,
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
