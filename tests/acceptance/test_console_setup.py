"""A new host by keys alone, from an empty list to its first job and back: a real terminal, `dts up`, OpenSSH."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dts_core.ssh.base import fingerprint
from tests.support.processes import Up, environment, eventually
from tests.support.setups import shelf_folder, tree
from tests.support.sshd import SshServer, ssh_server
from tests.support.sshkeys import public_line
from tests.support.tmux import Terminal, terminal

pytestmark = [pytest.mark.external("tmux", "sshd"), pytest.mark.slow]
SIZES = [(80, 24), (160, 48)]
ANSWER = "def main():\n    return 6 * 7\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the host's login lives: nothing is there."""
    made = tmp_path / "far"
    made.mkdir()
    return made


@pytest.fixture
def sshd(home: Path) -> Iterator[SshServer]:
    with ssh_server(options=[f"SetEnv HOME={home}"]) as server:
        yield server


@pytest.fixture
def up(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    made = Up(tmp_path, "--no-worker", env={"DTS_SETUP_CACHE": str(shelf_folder(tmp_path_factory))})
    try:
        with made.client(with_worker=False) as client:
            client.namespaces.add("test")
            client.functions.add("test/answer", ANSWER)
        yield made
    finally:
        made.end()


def type_address(at: Terminal, sshd: SshServer) -> None:
    """From the empty list to the key that the host shows."""
    at.shows("● live")
    at.keys("<:vhosts>", "Enter")
    at.shows("virtual hosts ─ 0", "a makes a worker of a new one")
    at.keys("a")
    at.shows("a new host ─ step 1 of 8", "name (text, needed)")
    at.keys("<web-1>", "Tab", f"<{sshd.addresses[0]}>", "Tab", f"<{sshd.port}>", "Tab")
    at.keys(f"<{sshd.user}>", "Tab", "Tab", "Tab", "</usr/bin/python3>")
    at.shows("service [agent]", "/usr/bin/python3")
    at.keys("C-s")


@pytest.mark.parametrize("size", SIZES)
def test_from_an_empty_list_to_the_first_job_and_back(
    tmp_path: Path, up: Up, sshd: SshServer, home: Path, size: tuple[int, int]
) -> None:
    """The key is confirmed, a login pasted, the plan made, carried out, heard of, used, and taken away again."""
    env = environment(tmp_path) | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    shown = fingerprint(public_line(sshd.host_keys[0]))
    command = [sys.executable, "-m", "dts_tui.cli", "--data", str(up.data)]
    with terminal(tmp_path, command, env, size) as at:
        type_address(at, sshd)
        at.shows("2 ◆ host key", shown, "enter pins it")
        at.keys("Enter")
        at.shows("is this the key of web-1?", shown, "Cancel")
        at.keys("y")
        at.shows("3 ◆ login", "none is stored")
        at.keys("Enter")
        at.shows("step 3 of 8: what logs in there", "user (text, needed)")
        at.keys("Tab", "Tab")
        at.paste(sshd.user_key)
        at.shows("•••• ")
        at.keys("C-s")
        at.shows("4 ● facts", "5 ● plan", "6 ◆ apply", "3 steps to make on web-1")
        assert not tree(home)
        at.keys("Enter")
        at.shows("Make a worker of web-1", "folders:", "Cancel")
        at.keys("y")
        at.shows("6 ✓ apply", "7 ● heartbeat", "8 ◆ first job")
        at.keys("Enter")
        at.shows("choose a function", "sample/")
        at.keys("<test/answer>")
        at.shows("test/answer", "── 1 ──")
        at.keys("Enter")
        at.shows("test/answer ─ version", "on web-1")
        at.keys("C-s")
        at.shows("● done", "test/answer", "on web-1", "42")
        at.keys("<:vhost web-1>", "Enter")
        at.shows("history ─", "by admin")
        at.keys("X")
        at.shows("Sure?", "type web-1 to confirm")
        at.keys("<web-1>", "Enter")
        at.shows("◆", "7 · heartbeat", "8 · first job")
        eventually(lambda: not tree(home), what="nothing is left there")
        assert sshd.user_key.splitlines()[2] not in at.screen()
