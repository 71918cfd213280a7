"""Set-up where sudo asks, and where systemd runs: both played by scripts that write down what they are told."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import msgspec
import pytest

from dts_core.errors import SetupFailed
from dts_core.ssh.pool import Sessions
from dts_core.ssh.setup.farend import ANSWER_MAX, FarEnd, Sudo
from dts_core.ssh.setup.setup import Setup
from dts_core.ssh.setup.wheels.release import Shelf
from dts_core.vault import Secret
from tests.support.setups import FAKE_SUDO, SUDO, shelf_folder, wish_for
from tests.support.sshliar import Liar, lying, run_here

FAKE_SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >> "$RECORD/systemd"
[ "$1" = --user ] && shift
case $1 in
enable) touch "$RECORD/enabled" ;;
disable) rm -f "$RECORD/enabled" ;;
restart) touch "$RECORD/active" ;;
stop) rm -f "$RECORD/active" ;;
is-enabled) [ -e "$RECORD/enabled" ] && echo enabled || { echo disabled; exit 1; } ;;
is-active) [ -e "$RECORD/active" ] && echo active || { echo inactive; exit 3; } ;;
esac
"""
FAKE_LOGINCTL = """#!/bin/sh
echo "loginctl $*" >> "$RECORD/systemd"
case $1 in
enable-linger) touch "$RECORD/linger" ;;
disable-linger) rm -f "$RECORD/linger" ;;
show-user) [ -e "$RECORD/linger" ] && echo yes || echo no ;;
esac
"""


def telling(password: str) -> Sudo:
    """Has a password for sudo."""

    async def told() -> Secret | None:
        return Secret(password)

    return told


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where the scripts write; they are found first, and the home is a new one."""
    programs = tmp_path / "bin"
    programs.mkdir()
    scripts = {"sudo": FAKE_SUDO, "systemctl": FAKE_SYSTEMCTL, "loginctl": FAKE_LOGINCTL}
    for name, text in scripts.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    home, kept = tmp_path / "home", tmp_path / "record"
    home.mkdir()
    kept.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("RECORD", str(kept))
    return kept


@pytest.fixture(name="liar")
async def liar_fixture() -> AsyncIterator[Liar]:
    async with lying(run_here) as liar:
        yield liar


async def test_sudo_gets_its_password_down_the_channel_alone(liar: Liar, record: Path) -> None:
    """Asked for once, given once, in no command line; what is sent behind it arrives whole."""
    async with (
        Sessions() as sessions,
        sessions.session(liar.target()) as session,
        FarEnd.opened(session, root=True, sudo=telling(SUDO)) as far,
    ):
        told = await far.ask("facts")
    assert told["facts"]["uid"] == os.geteuid()
    calls = (record / "sudo").read_text()
    assert calls.count("-S -p") == 1
    assert SUDO not in calls


async def test_a_password_that_sudo_refuses_is_tried_once(liar: Liar, record: Path) -> None:
    """A second try would count against the account."""
    async with Sessions() as sessions, sessions.session(liar.target()) as session:
        with pytest.raises(SetupFailed, match="sudo does not take the password") as told:
            async with FarEnd.opened(session, root=True, sudo=telling("Wrong-Canary-9")):
                raise AssertionError("it was let through")
    assert "Wrong-Canary-9" not in str(told.value)


async def test_without_a_password_sudo_is_not_asked_to_ask(liar: Liar, record: Path) -> None:
    """It says that it needs one, and so do we, with what to do."""
    async with Sessions() as sessions, sessions.session(liar.target()) as session:
        with pytest.raises(SetupFailed, match="a password is required") as told:
            async with FarEnd.opened(session, root=True):
                raise AssertionError("it was let through")
    assert "give a password" in told.value.advice
    assert (record / "sudo").read_text().startswith("-n -- ")


async def test_a_unit_of_the_users_systemd(
    liar: Liar, record: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Written, enabled, made to last beyond the login, started once; a second run asks and changes nothing; undone."""
    shelf = Shelf(shelf_folder(tmp_path_factory), needs=("click",))
    wish = wish_for(tmp_path / "dts", keeper="systemd")
    async with Sessions() as sessions:
        setup, target = Setup(sessions, shelf), liar.target(python="/usr/bin/python3")
        made = await setup.apply(target, wish)
        assert (made.manager, made.changes[-2:]) == ("systemd-user", ["unit", "service"])
        unit = tmp_path / "home/.config/systemd/user/dts-worker.service"
        text = unit.read_text()
        assert f"ExecStart={tmp_path}/dts/program/current/bin/dts-worker" in text
        assert "NoNewPrivileges=yes" in text
        said = _said(record)
        changing = [line for line in said if "is-" not in line and "show-user" not in line]
        assert changing == [
            "loginctl enable-linger",
            "systemctl --user daemon-reload",
            "systemctl --user enable dts-worker.service",
            "systemctl --user restart --no-block dts-worker.service",
        ]
        (record / "systemd").unlink()
        assert (await setup.apply(target, wish)).changes == []
        assert all("is-" in line or "show-user" in line for line in _said(record))
        changed = msgspec.structs.replace(wish, queues=("gpu",))
        assert (await setup.apply(target, changed)).changes == ["config", "service"]
        gone = await setup.remove(target, wish)
    assert gone.left == []
    assert not unit.exists()
    assert not (tmp_path / "home" / ".config").exists()
    assert _said(record)[-5:] == [
        "systemctl --user stop dts-worker.service",
        "systemctl --user disable dts-worker.service",
        "systemctl --user daemon-reload",
        "systemctl --user reset-failed dts-worker.service",
        "loginctl disable-linger",
    ]


def _said(record: Path) -> list[str]:
    return (record / "systemd").read_text().splitlines()


async def test_noise_of_a_login_shell_is_no_answer(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a shell's own files print before anything of ours begins is left out."""

    async def noisy(process: object) -> None:
        process.stdout.write(b"Welcome to this host!\n" * 50)  # type: ignore[attr-defined]
        process.stderr.write(b"mesg: ttyname failed\n")  # type: ignore[attr-defined]
        await run_here(process)  # type: ignore[arg-type]

    async with (
        lying(noisy) as liar,
        Sessions() as sessions,
        sessions.session(liar.target()) as session,
        FarEnd.opened(session, root=False) as far,
    ):
        told = await far.ask("facts")
    assert json.dumps(told["facts"]["python_version"])


async def test_a_host_that_floods_fills_no_memory() -> None:
    """What comes between two orders is bounded too: it is cut off, and the next order says why."""
    sent, cut = 0, asyncio.Event()

    async def flooding(process: asyncssh.SSHServerProcess[bytes]) -> None:
        nonlocal sent
        process.stdout.write(_mark(await process.stdin.read(1 << 20)) + b":")
        try:
            while sent < 16 * ANSWER_MAX and not process.is_closing():
                process.stdout.write(b"x" * (1 << 18))
                await process.stdout.drain()
                sent += 1 << 18
        except OSError:
            pass
        finally:
            cut.set()

    async with (
        lying(flooding) as liar,
        Sessions() as sessions,
        sessions.session(liar.target()) as session,
        FarEnd.for_packages(session) as far,
    ):
        await asyncio.wait_for(cut.wait(), 60)
        with pytest.raises(SetupFailed, match="without end"):
            await far.ask("facts")
    assert sent < 8 * ANSWER_MAX


def _mark(begin: bytes) -> bytes:
    """What the far end has to greet with."""
    found = re.search(rb"dts-[0-9a-f]{24}", begin)
    assert found is not None
    return found[0]
