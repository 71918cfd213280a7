"""Hashing secrets: what it takes of a machine that has other things to do."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from dts_core.services.aside import Aside, start
from dts_core.services.passwords import NICENESS, Passwords
from dts_core.testing import wait_until

RIGHT = "the secret that counts"
LONG = 60.0


class Begun:
    """Starts the process aside, and knows those that it started."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    def __call__(self) -> "subprocess.Popen[bytes]":
        self.processes.append(start())
        return self.processes[-1]


@pytest.fixture
def begun() -> Iterator[Begun]:
    made = Begun()
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def stored() -> str:
    return PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(RIGHT)


async def test_hashing_gives_way_to_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs in a thread of its own, which on Linux stands behind those that answer."""
    seen: list[tuple[str, int]] = []

    def hash_(self: PasswordHasher, password: str) -> str:
        here = threading.get_native_id()
        seen.append((threading.current_thread().name, os.getpriority(os.PRIO_PROCESS, here)))
        return password

    monkeypatch.setattr(PasswordHasher, "hash", hash_)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    passwords = Passwords()
    for _ in range(2):
        await passwords.hash("a secret of eight")
    assert {name.rpartition("_")[0] for name, _ in seen} == {"dts-passwords"}
    wanted = min(before + NICENESS, 19) if sys.platform == "linux" else before
    assert {niceness for _, niceness in seen} == {wanted}
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


@pytest.mark.parametrize("secret", ["the secret that counts", "another one"])
async def test_a_user_that_is_not_there_is_hashed_for_all_the_same(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """One verification each, of a hash with the same cost: nothing is saved where there is no user."""
    compared: list[str] = []
    verify = PasswordHasher.verify

    def counted(self: PasswordHasher, hash: str, password: str) -> bool:
        compared.append(hash.rsplit("$", 2)[0])
        return verify(self, hash, password)

    passwords = Passwords()
    stored = await passwords.hash("the secret that counts")
    monkeypatch.setattr(PasswordHasher, "verify", counted)
    assert await passwords.verify("", secret) is False
    assert await passwords.verify(stored, secret) is (secret == "the secret that counts")
    assert len(compared) == 2
    assert compared[0] == compared[1]


def test_secrets_are_compared_where_nobody_else_wants_the_processor(
    begun: Begun, stored: str
) -> None:
    """One process answers all questions, on Linux as one that runs only where a processor is idle."""
    aside = Aside(LONG, start=begun)
    assert aside.verify(stored, RIGHT) is True
    assert aside.verify(stored, RIGHT + "\n\u20ac\U0001f600") is False
    assert aside.verify("no hash", RIGHT) is False
    (process,) = begun.processes
    if sys.platform == "linux":
        assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
    aside.close()
    assert process.returncode is not None


async def test_a_crowd_is_compared_aside_and_one_alone_is_not(begun: Begun, stored: str) -> None:
    """Who logs in alone does not wait for an idle processor."""
    aside = Aside(LONG, start=begun)
    passwords = Passwords(aside)
    assert await passwords.verify(stored, RIGHT) is True
    assert begun.processes == []
    told = await asyncio.gather(*(passwords.verify(stored, each) for each in [RIGHT, "no"] * 4))
    assert told == [True, False] * 4
    assert len(begun.processes) == 1
    aside.close()


async def test_a_login_does_not_starve_where_processors_are_full(
    begun: Begun, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the process gets none, answers come from here all the same; when it runs again, it is asked again."""
    monkeypatch.setattr("dts_core.services.passwords.CROWD", 0)
    aside = Aside(LONG, start=begun)
    assert aside.verify(stored, RIGHT) is True
    (process,) = begun.processes
    aside._patience = 0.01
    process.send_signal(signal.SIGSTOP)
    passwords = Passwords(aside)
    for secret in (RIGHT, "another secret", RIGHT):
        assert aside.verify(stored, secret) is None
        assert await passwords.verify(stored, secret) is (secret == RIGHT)
    process.send_signal(signal.SIGCONT)
    aside._patience = LONG
    await wait_until(lambda: aside.verify(stored, "another secret") is False)
    assert aside.verify(stored, RIGHT) is True, "a late answer is not taken for this one's"
    assert begun.processes == [process]
    aside.close()


async def test_a_process_that_ended_is_followed_by_another(
    begun: Begun, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever logs in at that moment notices nothing, and neither does one for whom none can be started."""
    monkeypatch.setattr("dts_core.services.passwords.CROWD", 0)
    aside = Aside(LONG, start=begun)
    passwords = Passwords(aside)
    assert await passwords.verify(stored, RIGHT) is True
    begun.processes[0].kill()
    assert await passwords.verify(stored, RIGHT) is True
    assert await passwords.verify(stored, "another secret") is False
    assert aside.verify(stored, RIGHT) is True
    assert len(begun.processes) == 2

    def none() -> "subprocess.Popen[bytes]":
        raise OSError("no more processes")

    refused = Aside(LONG, start=none)
    assert refused.verify(stored, RIGHT) is None
    assert await Passwords(refused).verify(stored, RIGHT) is True
    aside.close()


def test_the_process_ends_with_whoever_asked_it(begun: Begun, stored: str) -> None:
    """Nobody has to close it: it goes with what asked it, and by itself when its standard input ends."""
    aside = Aside(LONG, start=begun)
    assert aside.verify(stored, RIGHT) is True
    del aside
    assert begun.processes[0].returncode is not None
    alone = begun()
    assert alone.stdin is not None
    assert alone.stdout is not None
    alone.stdin.close()
    assert alone.wait(LONG) == 0
    alone.stdout.close()
