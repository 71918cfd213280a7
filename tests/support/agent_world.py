"""A control side whose only worker is on a host in mode agent, on either engine; and jobs that wait for a gate."""

import contextlib
import json
from pathlib import Path

import psutil

from dts_core.clients import SyncAdminClient, submission
from dts_core.clients.endpoint import local_endpoint
from dts_core.errors import DtsError
from dts_core.signing.files import load_signer
from dts_core.vault import KeyFile
from tests.support.agents import worker_command
from tests.support.distributed import DAEMONS, Distributed
from tests.support.processes import Running, Up, eventually
from tests.support.sshd import SshServer

HOST = "far-1"
ADD = "def main(a: int, b: int):\n    print('adding')\n    return a + b\n"
GATED = """
import os, time
from pathlib import Path

def main(gate: str, marks: str):
    with Path(marks).open("a") as file:
        file.write(f"{os.getpid()}\\n")
    while not Path(gate).exists():
        time.sleep(0.05)
    return os.getpid()
"""


class World:
    """A control side whose only worker is on a host in mode agent.

    Attributes:
        gateway: The process that the gateway is in.
    """

    gateway: Running

    def __init__(self, folder: Path, sshd: SshServer) -> None:
        self.folder = folder
        self.sshd = sshd
        self.data = folder / "data"
        self.env = {
            "DTS_GATEWAY_WORKER": json.dumps(worker_command(folder / "far")),
            "DTS_GATEWAY_BACKOFF_MAX_SECONDS": "2",
        }
        self._gates = 0

    def begin(self) -> None:
        """Start everything, with a host and functions for it."""
        self.start()
        with self.client() as client:
            client.namespaces.add("test")
            client.functions.add("test/add", ADD)
            client.functions.add("test/gated", GATED)
            client.vhosts.add(HOST, mode="agent", **self.sshd.vhost())
            self.until_linked(client)

    def start(self) -> None:
        raise NotImplementedError

    def start_gateway(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    @property
    def said(self) -> str:
        return self.gateway.said()

    def client(self) -> SyncAdminClient:
        """An administrator's, once the server is there."""

        def look() -> SyncAdminClient:
            found = local_endpoint(self.data)
            client = SyncAdminClient(found.url, found.token)
            try:
                client.session()
            except DtsError:
                client.close()
                raise
            return client

        return eventually(look, what="the server answers")

    def until_linked(self, client: SyncAdminClient) -> None:
        """Wait until the worker is there, and has said so."""
        eventually(
            lambda: self.words(client).startswith("up") and self.is_beating(client),
            what=f"host {HOST} is linked",
        )

    def words(self, client: SyncAdminClient) -> str:
        """How the host's worker is, as the list of parts says it."""
        parts = {part.name: part.words for part in client.status().parts}
        return parts.get(f"agent {HOST}", "")

    def is_beating(self, client: SyncAdminClient) -> bool:
        return any(each.name == HOST and each.state == "up" for each in client.hosts().items)

    def gated(self, client: SyncAdminClient) -> "Gated":
        """A job that runs until its gate is opened."""
        self._gates += 1
        return Gated(client, self.folder / f"gate-{self._gates}")

    def worker_pids(self) -> list[int]:
        """The workers that run at the far end of this sshd."""
        found = []
        for each in psutil.Process(self.sshd.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "dts_worker.cli" in each.cmdline() and "--name" in each.cmdline():
                    found.append(each.pid)
        return found


class Gated:
    """A job, its gate, and the processes that ran it."""

    def __init__(self, client: SyncAdminClient, gate: Path) -> None:
        self.gate = gate
        self.marks = gate.with_suffix(".marks")
        job = submission("test/gated", args=[str(gate), str(self.marks)])
        self.id = client.submit_many([job]).ids[0]

    def pids(self) -> list[int]:
        return [int(line) for line in self.marks.read_text().split()] if self.marks.exists() else []

    def until_begun(self, runs: int) -> int:
        """The process of that run, once it began."""
        eventually(lambda: len(self.pids()) >= runs, what=f"run {runs} of the job begins")
        return self.pids()[runs - 1]

    def is_running(self, client: SyncAdminClient) -> bool:
        """Whether the run that was begun last is the one that the job is in."""
        job = client.job(self.id)
        return job.state == "running" and job.epoch == len(self.pids())

    def passes(self, client: SyncAdminClient, runs: int) -> None:
        """Open the gate: the last of so many runs gives the result, and the only one."""
        self.gate.touch()
        job = client.wait_for(self.id, timeout_seconds=60)
        assert (job.state, job.result) == ("done", self.until_begun(runs)), job
        assert (job.epoch, job.host) == (runs, HOST)
        assert len(self.pids()) == runs


class Embedded(World):
    """`dts up`: one process is everything."""

    def start(self) -> None:
        self.start_gateway()

    def start_gateway(self) -> None:
        self.gateway = Up(self.folder, "--no-worker", env=self.env)

    def end(self) -> None:
        self.gateway.end()


class OnRabbitmq(World):
    """RabbitMQ and MongoDB; the gateway is a daemon in a process of its own."""

    def __init__(self, folder: Path, sshd: SshServer, amqp: str, mongodb: str) -> None:
        super().__init__(folder, sshd)
        vault = folder / "vault.key"
        KeyFile.made(vault)
        self.engine = Distributed(folder, amqp, mongodb, env={"DTS_VAULT_KEY_FILE": str(vault)})
        self.data = self.engine.data
        self.env["DTS_GATEWAY_PUBLIC_KEYS"] = str(load_signer(self.engine.key).public)

    def start(self) -> None:
        self.engine.server()
        self.engine.daemon(DAEMONS)
        self.start_gateway()

    def start_gateway(self) -> None:
        self.gateway = self.engine.daemon(["gateway"], **self.env)

    @property
    def said(self) -> str:
        return self.engine.said()

    def end(self) -> None:
        self.engine.end()
