"""A campaign on the embedded engine: one owner (`dts up --no-worker`), workers of their own by its socket."""

import collections
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw

from dts_core.clients import SyncAdminClient
from dts_core.clients.endpoint import local_endpoint
from tests.support.ports import free_port
from tests.support.processes import Running, Up
from tools.campaign_charges import Charge
from tools.campaign_faults import Fault, Faults
from tools.campaign_stack import Row, Stack, Stored, charge_in, name_in

DISK_BYTES: Final = 2 << 30


class EmbeddedStack(Stack):
    """The owner's data folder is a file system of its own where that is allowed, so that it can be full."""

    control = ("owner",)

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__(folder, workers)
        self.port = free_port()
        self.data = folder / "owner" / "data"
        self.has_disk = False
        self._token = ""

    def prepare(self) -> None:
        """The data folder on a disk of its own."""
        self.data.mkdir(parents=True, mode=0o700)
        if sys.platform == "linux" and os.getuid() == 0:
            self.has_disk = _mount(
                "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", self.data
            )

    def resize(self, *, full: bool) -> None:
        """Leave no room on the disk, or make room again."""
        found = os.statvfs(self.data)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        _mount("-o", f"remount,size={used if full else DISK_BYTES}", self.data)

    def start(self, name: str) -> Running:
        """The owner, or a worker at its socket."""
        if name == "owner":
            return Up(self.folder / "owner", "--no-worker", "--port", str(self.port))
        home = self.folder / name
        home.mkdir(exist_ok=True)
        url = f"link+unix://{self.data / 'link.sock'}"
        options = ["--url", url, "--host", f"host-{name[-1]}", "--data", str(home / "data")]
        command = ["-m", "dts_worker.cli", *options, "--slots", "2"]
        return Running(command, home, env=self.worker_environment(name))

    def client(self) -> SyncAdminClient:
        """By the address that the owner left in its folder."""
        if not self._token:
            self._token = local_endpoint(self.data).token
        return SyncAdminClient(f"http://127.0.0.1:{self.port}", self._token)

    def stored(self) -> Stored:
        """The data file."""
        connection = apsw.Connection(str(self.data / "dts.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            rows = _rows(connection)
            return Stored(rows, list(_misfits(connection, rows)), list(_charges(connection)))
        finally:
            connection.close()

    def end(self) -> None:
        """Give the disk back."""
        if self.has_disk:
            subprocess.run(["umount", "-l", str(self.data)], check=False)


def _mount(*arguments: Any) -> bool:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False)
    return done.returncode == 0


def _rows(connection: apsw.Connection) -> dict[str, Row]:
    found = connection.execute(
        "SELECT id, state, epoch, attempt, losses, lease IS NOT NULL, finished IS NOT NULL, result, "
        "submitter, error, doc FROM jobs"
    )
    return {
        job: Row(state, epoch, attempt, losses, bool(lease), bool(finished), _bytes(result),
                 submitter, _bytes(error).decode(errors="replace"), name_in(doc))
        for job, state, epoch, attempt, losses, lease, finished, result, submitter, error, doc in found
    }  # fmt: skip


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _misfits(connection: apsw.Connection, rows: dict[str, Row]) -> Iterator[str]:
    if (sound := connection.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
        yield f"the file is not sound: {sound[:3]}"
    counted = collections.Counter(f"{row.submitter} {row.state}" for row in rows.values())
    kept = dict(
        connection.execute("SELECT submitter || ' ' || state, jobs FROM counters WHERE jobs!=0")
    )
    if kept != dict(counted):
        yield f"the counters say {kept}, the rows {counted}"
    for table in ("messages", "dead_letters"):
        left = connection.execute(f"SELECT queue, count(*) FROM {table} GROUP BY queue").fetchall()  # noqa: S608
        if left:
            yield f"{table} are left: {left}"


def _charges(connection: apsw.Connection) -> Iterator[Charge]:
    for job, doc in connection.execute("SELECT job, doc FROM attempts"):
        if (charge := charge_in(job, doc)) is not None:
            yield charge


class EmbeddedFaults(Faults):
    """What may befall an owner and its workers."""

    stack: EmbeddedStack

    def kinds(self) -> list[Fault]:
        """The owner is broker, store, server and every daemon in one."""
        found = [
            *self.worker_kinds(),
            Fault("kill the owner", 3, lambda: self.kill_and_come_back("owner")),
            Fault("terminate the owner", 2, lambda: self.terminate("owner")),
            Fault("freeze the owner", 3, lambda: self.freeze(["owner"], 16.0)),
            Fault("freeze the owner, kill a worker", 1, self._freeze_and_kill),
            Fault("freeze everybody", 1, lambda: self.freeze(list(self.stack.running), 16.0)),
            Fault("kill the owner and a worker", 1, self._kill_two),
        ]
        if self.stack.has_disk:
            found.append(Fault("fill the disk", 2, self._fill_disk))
        return found

    def _freeze_and_kill(self) -> None:
        with self.meanwhile(self.chance.uniform(0, 6), lambda: self.kill(self.worker())):
            self.freeze(["owner"], 16.0)

    def _kill_two(self) -> None:
        self.kill(self.worker())
        self.kill("owner")

    def _fill_disk(self) -> None:
        self.stack.resize(full=True)
        try:
            self.wait(self.chance.uniform(1.0, 14.0))
            if self.chance.random() < 0.3:
                with contextlib.suppress(ProcessLookupError):
                    self.end_process("owner", signal.SIGKILL)
        finally:
            self.stack.resize(full=False)
