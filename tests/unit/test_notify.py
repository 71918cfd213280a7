"""What the service manager is told, over real datagram sockets."""

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dts_core.errors import StoreUnavailable
from dts_core.hosting.notify import Notifier
from dts_core.hosting.watchdog import keep_watchdog

WAIT_SECONDS = 60.0


@contextlib.contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """A service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + address[1:] if address.startswith("@") else address)
        end.settimeout(WAIT_SECONDS)
        yield end


def heard(end: socket.socket) -> str:
    return end.recv(4096).decode()


async def soon(end: socket.socket) -> str:
    return await asyncio.to_thread(heard, end)


def addresses(tmp_path: Path) -> list[str]:
    abstract = [f"@dts-test-{secrets.token_hex(8)}"] if sys.platform == "linux" else []
    return [str(tmp_path / "n"), *abstract]


def test_life_is_told(tmp_path: Path) -> None:
    """READY, STATUS, WATCHDOG and STOPPING arrive, by a path and by an abstract name."""
    for address in addresses(tmp_path):
        with manager(address) as end, contextlib.closing(Notifier(address)) as notifier:
            notifier.ready("ready at\x1b home\nand more")
            assert heard(end) == "READY=1\nSTATUS=ready at\\x1b home"
            notifier.status("all well")
            assert heard(end) == "STATUS=all well"
            notifier.status("all well")
            notifier.ping()
            assert heard(end) == "WATCHDOG=1"
            notifier.stopping()
            assert heard(end) == "STOPPING=1\nSTATUS=stopping"


def test_environment_is_taken_and_not_handed_on(tmp_path: Path) -> None:
    """What we start must not speak for us."""
    environ = {
        "NOTIFY_SOCKET": str(tmp_path / "n"),
        "WATCHDOG_USEC": "1500000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    with contextlib.closing(Notifier.from_environment(environ)) as notifier:
        assert (notifier.is_heard, notifier.watchdog_seconds) == (True, 1.5)
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (False, 0.0)),
        ({"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "9"}, (False, 0.0)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "9000000", "WATCHDOG_PID": "1"}, (True, 0.0)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, (True, 0.0)),
    ],
)
def test_strange_environment(environ: dict[str, str], expected: tuple[bool, float]) -> None:
    """No manager, one that we cannot reach, a watchdog of another process, nonsense."""
    with contextlib.closing(Notifier.from_environment(dict(environ))) as notifier:
        assert (notifier.is_heard, notifier.watchdog_seconds) == expected


def test_nobody_there_is_no_error(tmp_path: Path) -> None:
    """A manager that is gone, or reads nothing, stops nobody."""
    with contextlib.closing(Notifier(str(tmp_path / "gone"))) as notifier:
        notifier.ready()
    with (
        manager(str(tmp_path / "deaf")),
        contextlib.closing(Notifier(str(tmp_path / "deaf"))) as notifier,
    ):
        for _ in range(5000):
            notifier.ping()
    notifier.ping()
    notifier.close()


async def test_ping_follows_the_round_trip(tmp_path: Path) -> None:
    """Each trip that comes back is a ping; a trip that fails, or hangs, is none, and is told in words."""
    end_of_trip: asyncio.Queue[object] = asyncio.Queue()

    async def probe() -> str:
        outcome = await end_of_trip.get()
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    address = str(tmp_path / "n")
    with (
        manager(address) as end,
        contextlib.closing(Notifier(address, watchdog_seconds=0.3)) as notifier,
    ):
        task = asyncio.create_task(keep_watchdog(notifier, probe))
        try:
            assert await soon(end) == "STATUS=in doubt: no answer within 0.1 s"
            end_of_trip.put_nowait("store up, broker up")
            assert await soon(end) == "STATUS=store up, broker up"
            assert await soon(end) == "WATCHDOG=1"
            end_of_trip.put_nowait(StoreUnavailable("it is away.", advice="Wait."))
            told = [await soon(end), await soon(end)]
            assert "STATUS=in doubt: it is away. Wait." in told
            assert "WATCHDOG=1" not in told
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_without_a_manager_nothing_is_probed() -> None:
    """Where nobody listens, the round trips are saved."""

    async def probe() -> str:
        raise AssertionError("nobody asked")

    task = asyncio.create_task(keep_watchdog(Notifier(), probe))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_what_a_manager_had_no_room_for_is_told_later(tmp_path: Path) -> None:
    """It reads late: that all is ready, and the last line of status, come with what is sent next."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.setblocking(False)
        notifier = Notifier(str(path))
        while notifier._send("WATCHDOG=1"):
            pass
        notifier.ready("begun")
        notifier.status("broker up")

        def read() -> list[str]:
            found = []
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.append(manager.recv(4096).decode())
            return found

        assert set(read()) == {"WATCHDOG=1"}
        notifier.status("broker up")
        notifier.ping()
        assert read() == ["READY=1\nSTATUS=begun", "STATUS=broker up", "WATCHDOG=1"]
        notifier.close()
