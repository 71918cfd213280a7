"""Calls on many hosts by keys alone: real terminal, real `dts up`, real OpenSSH servers, a kill -9 in the middle."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Up, environment, eventually
from tests.support.sshd import SshServer, ssh_server
from tests.support.tmux import Terminal, terminal

pytestmark = [pytest.mark.external("tmux", "sshd"), pytest.mark.slow]
SIZES = [(80, 24), (160, 48)]
ADDRESSES = [f"127.0.11.{number}" for number in range(1, 9)]


@pytest.fixture
def sshd() -> Iterator[SshServer]:
    with ssh_server(addresses=ADDRESSES) as server:
        yield server


def add_hosts(up: Up, server: SshServer) -> None:
    """Eight that are there, and one that nobody listens at."""
    with up.client(with_worker=False) as client:
        for number, address in enumerate(ADDRESSES, 1):
            fields = server.vhost() | {"address": address, "labels": {"role": "web"}}
            client.vhosts.add(f"web-{number}", **fields)
        gone = server.vhost() | {"address": "127.0.11.200", "labels": {"role": "web"}}
        client.vhosts.add("web-9", **gone)


def console(up: Up) -> list[str]:
    return [sys.executable, "-m", "dts_tui.cli", "--data", str(up.data)]


def type_command(at: Terminal, command: str) -> None:
    """From the list of virtual hosts to the question."""
    at.keys("s")
    at.shows("what to run on")
    at.keys("Enter")
    at.shows("run a command", "ctrl+s from any field")
    at.keys(f"<{command}>", "C-s")
    at.shows("Sure?")


@pytest.mark.parametrize("size", SIZES)
def test_from_the_list_of_hosts_to_the_failed_again(
    tmp_path: Path, sshd: SshServer, size: tuple[int, int]
) -> None:
    """A filter chooses the hosts, the question names them, equal answers stand together, one key reruns the failed."""
    flag = tmp_path / "mended"
    script = (
        f"sh -c 'test -e {flag} || case $SSH_CONNECTION in *.11.[78]\\ *) exit 7;; esac; echo fine'"
    )
    up = Up(tmp_path, "--no-worker")
    env = environment(tmp_path) | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    try:
        add_hosts(up, sshd)
        with terminal(tmp_path, console(up), env, size) as at:
            at.shows("● live")
            at.keys("<:vhosts labels=role*web>", "Enter")
            at.shows("web-1", "web-9", "labels=role*web")
            type_command(at, script)
            at.shows("on 9 hosts?", "web-[1-9]", "Cancel")
            at.keys("y")
            at.shows(
                "ended ──", "● ok 6", "✗ failed 2", "○ unreachable 1", "web-[1-6]", "web-[7-8]"
            )
            at.shows("exit 7", "fine")
            at.keys("Enter")
            at.shows("1 of 6 with this answer", "exit 0", "fine")
            at.keys("Escape")
            at.shows("same answer", "● ok 6")
            flag.touch()
            at.keys("F")
            at.shows("again on 2 hosts?", "web-[7-8]")
            at.keys("y")
            at.shows("2 of 2 hosts ended", "● ok 2", "✗ failed 0")
    finally:
        up.end()


def test_the_rest_runs_after_console_and_server_were_killed(
    tmp_path: Path, sshd: SshServer
) -> None:
    """Both die by kill -9 in the middle; the board of the next ones tells what is known, and runs the lost again."""
    (tmp_path / "marks").mkdir()
    mark = f'{tmp_path}/marks/$(echo $SSH_CONNECTION | cut -d" " -f3)'
    gate = tmp_path / "gate"
    script = f"sh -c 'echo >> {mark}; while test -e {gate}; do sleep 0.1; done; echo fine'"
    gate.touch()
    up = Up(tmp_path, "--no-worker")
    env = environment(tmp_path) | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    try:
        add_hosts(up, sshd)
        first, second = tmp_path / "first", tmp_path / "second"
        first.mkdir()
        second.mkdir()
        with terminal(first, console(up), env, (120, 36)) as at:
            at.shows("● live")
            at.keys("<:vhosts>", "Enter")
            at.shows("web-8")
            at.keys("*", "G", "Space")
            at.shows("8 marked")
            type_command(at, script)
            at.keys("y")
            at.shows("▶ running 8")
            eventually(
                lambda: len(list((tmp_path / "marks").iterdir())) == 8, what="all have begun"
            )
            up.kill()
        gate.unlink()
        up = Up(tmp_path, "--no-worker")
        with up.client(with_worker=False) as client:
            job = client.jobs(function="dts/sshrpc", limit=1).items[0].id
            eventually(lambda: client.ssh.changes(job, 0, limit=1).is_over, what="it is over")
        with terminal(second, console(up), env, (120, 36)) as at:
            at.shows("● live")
            at.keys("2")
            at.shows("jobs ─ 1", "dts/sshrpc")
            at.keys("Enter")
            at.shows("✗ failed 8", "web-[1-8]", "lost")
            at.keys("F")
            at.shows("Sure?", "web-[1-8]", "Run again")
            at.keys("y")
            at.shows("8 of 8 hosts ended", "● ok 8")
        marks = {path.name: path.read_text().count("\n") for path in (tmp_path / "marks").iterdir()}
        assert marks == dict.fromkeys(ADDRESSES, 2)
    finally:
        up.end()
