"""The processes of a campaign: an owner, workers of their own, and what is left of them."""

import contextlib
import signal
import socket
import time
from pathlib import Path
from typing import Final

import psutil

from dts_core.clients import SyncAdminClient
from dts_core.clients.endpoint import local_endpoint
from tests.support.processes import Running, Up

STOP_SECONDS: Final = 40.0


class Stack:
    """The owner and its workers; whatever ended is started again by `tend`."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.port = _free_port()
        self.owner: Up | None = None
        self.workers: dict[int, Running | None] = dict.fromkeys(range(workers))
        self.seen: dict[int, psutil.Process] = {}
        self.statuses: list[str] = []
        self.outputs: list[Path] = []
        self._token = ""
        (folder / "owner").mkdir()

    @property
    def data(self) -> Path:
        """The owner's data folder."""
        return self.folder / "owner" / "data"

    def tend(self) -> None:
        """Start what is not there, and remember every process that was."""
        if self.owner is None or self.owner.process.poll() is not None:
            self.owner = Up(self.folder / "owner", "--no-worker", "--port", str(self.port))
            self.outputs.append(self.owner.output)
        for number, worker in self.workers.items():
            if worker is None or worker.process.poll() is not None:
                self.workers[number] = self._start_worker(number)
        self.look()

    def _start_worker(self, number: int) -> Running:
        home = self.folder / f"worker-{number}"
        home.mkdir(exist_ok=True)
        url = f"link+unix://{self.data / 'link.sock'}"
        options = ["--url", url, "--host", f"host-{number}", "--data", str(home / "data")]
        worker = Running(["-m", "dts_worker.cli", *options, "--slots", "2"], home)
        self.outputs.append(worker.output)
        return worker

    def parts(self) -> list[Running]:
        """The owner and the workers that were started."""
        return [part for part in (self.owner, *self.workers.values()) if part is not None]

    def look(self) -> None:
        """Remember every process of ours that lives now."""
        for part in self.parts():
            with contextlib.suppress(psutil.NoSuchProcess):
                self.seen.setdefault(part.process.pid, psutil.Process(part.process.pid))
            for each in part.descendants():
                self.seen.setdefault(each.pid, each)

    def children(self) -> list[psutil.Process]:
        """The workers' children and theirs."""
        return [each for worker in self.workers.values() if worker for each in worker.descendants()]

    def client(self) -> SyncAdminClient:
        """A client of the owner that is there or comes."""
        if not self._token:
            self._token = local_endpoint(self.data).token
        return SyncAdminClient(f"http://127.0.0.1:{self.port}", self._token)

    def stop(self) -> list[str]:
        """SIGTERM to all; what did not end well."""
        wrong = []
        for part in reversed(self.parts()):
            part.process.send_signal(signal.SIGCONT)
            part.process.send_signal(signal.SIGTERM)
        for part in self.parts():
            try:
                status = part.process.wait(STOP_SECONDS)
            except Exception as error:  # noqa: BLE001 - told at the end, like every other finding
                wrong.append(f"{part.output.name}: did not stop: {error}")
                part.process.kill()
                continue
            if status != 0:
                wrong.append(f"{part.output.name}: exit status {status} after SIGTERM")
        return wrong

    def left_over(self) -> list[str]:
        """Processes of ours that still live, killed now."""
        deadline = time.monotonic() + 5
        left = list(self.seen.values())
        while left and time.monotonic() < deadline:
            left = [each for each in left if _lives(each)]
            time.sleep(0.1)
        names = []
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                names.append(f"process {each.pid} is left over: {' '.join(each.cmdline())[:120]}")
                each.kill()
        return names


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
