"""The words that start a worker on a far host: what a set-up has made there, else what its python knows."""

import subprocess
from pathlib import Path

import pytest

from dts_core.brokers.link_policy import Pass
from dts_core.remote.launching import command_of
from dts_core.settings import GatewaySettings

OWN = Pass("a", "a-1", ("default", "gpu"))
OPTIONS = "--url link+stdio: --host a --name a-1 --queue default --queue gpu"
SAYS = '#!/bin/sh\necho "${DTS_SIGNING_PUBLIC_KEYS:-none} $0 $*"\n'


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SAYS)
    path.chmod(0o755)
    return path


def said(command: list[str], home: Path) -> str:
    done = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", "HOME": str(home)}, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()


def test_what_a_set_up_has_made_is_found(tmp_path: Path) -> None:
    """Its own settings say whose functions it runs."""
    base = tmp_path / ".local/share/dts-host"
    made = program(base / "program/current/bin/dts-worker")
    (base / "config").mkdir()
    settings = base / "config/worker.toml"
    settings.touch()
    command = command_of("python3", OWN, GatewaySettings(), {}, "ed25519:x")
    assert said(command, tmp_path) == f"none {made} -c {settings} {OPTIONS}"


@pytest.mark.parametrize(("key", "found"), [("ed25519:x", "ed25519:x"), ("", "none")])
def test_else_its_python_is_asked(tmp_path: Path, key: str, found: str) -> None:
    """It is told whose functions it runs, where somebody signs here."""
    python = program(tmp_path / "there is/python")
    command = command_of(str(python), OWN, GatewaySettings(), {}, key)
    assert said(command, tmp_path) == f"{found} {python} -m dts_worker.cli {OPTIONS}"


def test_the_settings_have_the_last_word(tmp_path: Path) -> None:
    """A command of one's own, and keys that are named, win."""
    mine = program(tmp_path / "mine")
    settings = GatewaySettings(worker=[str(mine), "-d"])
    named = {"DTS_SIGNING_PUBLIC_KEYS": "ed25519:named"}
    assert said(command_of("python3", OWN, settings, named, "ed25519:x"), tmp_path) == (
        f"ed25519:named {mine} -d {OPTIONS}"
    )
