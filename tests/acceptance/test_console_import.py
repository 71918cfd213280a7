"""Hosts of a file by keys alone: a real terminal, `dts up`, and `dts vhost import` run by the console."""

import sys
from pathlib import Path

import pytest

from tests.support.processes import Up, environment
from tests.support.sshkeys import private_key, public_line
from tests.support.tmux import terminal

pytestmark = [pytest.mark.external("tmux"), pytest.mark.slow]


def test_hosts_of_a_file_become_virtual_hosts(tmp_path: Path) -> None:
    """The plan first, written nowhere; then exactly it, with pinned keys; a second time nothing is left to do."""
    config, known = tmp_path / "config", tmp_path / "known"
    config.write_text("Host web-1 web-2\n  User deploy\nHost odd\n  ProxyCommand nc %h %p\n")
    key = public_line(private_key())
    known.write_text(f"web-1 {key}\n")
    up = Up(tmp_path, "--no-worker")
    env = environment(tmp_path) | {"TERM": "xterm-256color", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "dts_tui.cli", "--data", str(up.data)]
    try:
        with (
            up.client(with_worker=False) as client,
            terminal(tmp_path, command, env, (80, 24)) as at,
        ):
            at.shows("● live")
            at.keys("<:vhosts>", "Enter")
            at.shows("virtual hosts ─ 0", "f reads a file")
            at.keys("f")
            at.shows("hosts of a file on this machine")
            at.keys(f"<{config}>", "Tab", "Tab", f"<{known}>", "C-s")
            at.shows("2 to create", "1 refused", "+ web-1", 'user: "deploy"', "odd: ")
            assert client.vhosts.list().items == []
            at.keys("Enter")
            at.shows("Create 2 virtual hosts", "web-2", "Cancel")
            at.keys("y")
            at.shows("2 virtual hosts written", "virtual hosts ─ 2", "web-1", "web-2")
            found = {each["_id"]: each for each in client.vhosts.list().items}
            assert found["web-1"]["known_host_key"].strip() == key.strip()
            assert not found["web-2"]["known_host_key"]
            at.keys("f")
            at.shows("hosts of a file on this machine")
            at.keys(f"<{config}>", "C-s")
            at.shows("0 to create, 0 to change, 2 the same, 1 refused")
    finally:
        up.end()
