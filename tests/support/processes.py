"""Real processes of the product for acceptance tests: each in folders of its own, stopped by its own pid."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

from dts_core.clients import SyncAdminClient
from dts_core.clients.endpoint import local_endpoint
from dts_core.errors import DtsError

T = TypeVar("T")
START_SECONDS = 60.0
STOP_SECONDS = 60.0


def eventually(look: Callable[[], T], *, seconds: float = 60.0, what: str = "") -> T:
    """What `look` returns once it is truthy; it may raise DtsError until then.

    Raises:
        AssertionError: It was not within `seconds`; tells the last value or error.
    """
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            found = look()
        except DtsError as error:
            last = error
        else:
            if found:
                return found
            last = found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what or look}; last: {last!r}")


def freeze(pid: int, *, seconds: float = 10.0) -> None:
    """Stop a process by SIGSTOP, and return when each of its threads stands still.

    The signal is delivered thread by thread: one on another core still answers for a moment after `kill` returned.

    Raises:
        AssertionError: A thread still ran after `seconds`.
    """
    os.kill(pid, signal.SIGSTOP)
    eventually(
        lambda: all(_stands_still(each) for each in Path(f"/proc/{pid}/task").iterdir()),
        seconds=seconds,
        what=f"process {pid} stands still",
    )


def _stands_still(task: Path) -> bool:
    """A thread that ended meanwhile stands still too; the state follows the name in brackets, see proc(5)."""
    try:
        told = (task / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return told.rpartition(")")[2].split()[0] in "TtZX"


class Running:
    """One process of ours with its output in a file."""

    def __init__(
        self, arguments: list[str], folder: Path, *, env: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.output = folder / f"{arguments[1].replace('.', '-')}-{time.monotonic_ns()}.out"
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment(folder) | (env or {}),
            )

    def said(self) -> str:
        """Everything it has printed so far."""
        return self.output.read_text("utf-8", "replace")

    def descendants(self) -> list[psutil.Process]:
        """Its children and theirs, those that live."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def worker(self) -> psutil.Process:
        """Its worker process."""

        def look() -> psutil.Process | None:
            for each in self.descendants():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "dts_worker" in " ".join(each.cmdline()):
                        return each
            return None

        found = eventually(look, what="a worker process")
        assert found is not None
        return found

    def kill(self) -> None:
        """kill -9, of this process alone."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def end(self) -> None:
        """Make sure that nothing of it is left."""
        family = self.descendants()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_SECONDS)
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def environment(home: Path) -> dict[str, str]:
    """The variables of a process of ours: a HOME of its own, nothing of DTS_* or XDG_*."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("DTS_", "XDG_"))
    }
    return kept | {"HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}


class Up(Running):
    """A `dts up` on `folder/data`."""

    def __init__(self, folder: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.data = folder / "data"
        arguments = ["-m", "dts_core.cli", "up", "--data", str(self.data), "--port", "0", *options]
        super().__init__(arguments, folder, env=env)

    def client(self, *, with_worker: bool = True) -> SyncAdminClient:
        """An administrator's client, once the stack (and a worker of it) is there."""

        def look() -> SyncAdminClient | None:
            assert self.process.poll() is None, self.said()
            found = local_endpoint(self.data)
            client = SyncAdminClient(found.url, found.token)
            try:
                if not with_worker or any(host.state == "up" for host in client.hosts().items):
                    client.session()
                    return client
            except DtsError:
                client.close()
                raise
            client.close()
            return None

        found = eventually(look, seconds=START_SECONDS, what="dts up is ready")
        assert found is not None
        return found


@contextlib.contextmanager
def up(folder: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Up]:
    """A `dts up` for the length of a test."""
    running = Up(folder, *options, env=env)
    try:
        yield running
    finally:
        running.end()
