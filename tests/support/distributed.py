"""The distributed engine as an administrator starts it: RabbitMQ, MongoDB, server, each daemon and workers as processes
of their own, from etc/distributed/*.toml, with URLs and folders alone changed by the environment.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from dts_core.clients import SyncAdminClient
from dts_core.clients.endpoint import local_endpoint
from dts_core.errors import DtsError
from dts_core.resources import etc_folder
from dts_core.sealed.files import add_key, read_opening_keys
from dts_core.signing.files import load_signer, make_key, write_keys
from tests.support.other_version import OLDER
from tests.support.processes import START_SECONDS, Running, eventually

DAEMONS = ("porter", "stethoscope", "logtracer", "scheduler", "internal", "requests")
CONFIG = etc_folder() / "distributed"
GATED = """
import time
from pathlib import Path

from dts_core import job

def main(gate: str):
    print("a line of the job")
    job.progress(0.5, "half")
    while not Path(gate).exists():
        time.sleep(0.05)
    return "through"
"""
"""A function that prints a line, says half-time and waits for a file."""


class Distributed:
    """One distributed engine.

    Args:
        folder: HOME, data folders and outputs.
        amqp: URL of an empty virtual host.
        mongodb: URL of an empty database; empty: the embedded store, one process with everything.
        env: Further variables for every process.
    """

    def __init__(
        self, folder: Path, amqp: str, mongodb: str, *, env: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.amqp = amqp
        self.plain = amqp
        """For programs that know nothing of dts; another user's, when a test says so."""
        self.mongodb = mongodb
        self.data = folder / "server"
        self.env = {"DTS_BROKER_URL": amqp} | (env or {})
        self.key = folder / "signing.key"
        self.public_keys = folder / "signing.pub"
        if not self.key.exists():
            make_key(self.key)
        write_keys(self.public_keys, [load_signer(self.key).public])
        self.no_keys = folder / "none.pub"
        write_keys(self.no_keys, [])
        self.arguments_key = folder / "arguments.key"
        """What servers seal secret arguments to; a worker opens them that a test gives this file."""
        self.arguments_public = folder / "arguments.pub"
        if not self.arguments_key.exists():
            add_key(self.arguments_key)
        public = read_opening_keys(self.arguments_key)[0].public
        self.arguments_public.write_text(f"{public}\n")
        self.running: list[Running] = []

    # --- starting

    def start(self, *, workers: int = 1, apart: bool = True) -> None:
        """Everything at once, in no order; with `apart` each daemon in a process of its own."""
        self.server()
        if self.mongodb:
            for names in [[name] for name in DAEMONS] if apart else [list(DAEMONS)]:
                self.daemon(names)
        for number in range(1, workers + 1):
            self.worker(f"host{number}")

    def server(self, name: str = "server", **env: str) -> Running:
        """`dts server`; its data folder is `folder/NAME`."""
        data = self.folder / name
        ours = {
            "DTS_SERVER_PORT": "0",
            "DTS_SERVER_DATA": str(data),
            "DTS_SIGNING_KEY_FILE": str(self.key),
            "DTS_ARGUMENTS_PUBLIC_KEYS_FILE": str(self.arguments_public),
            **self._store(data),
            **env,
        }
        return self._run(["-m", "dts_core.cli", "server"], "server.toml", ours)

    def daemon(self, names: Sequence[str], **env: str) -> Running:
        """`dts daemon NAME...`."""
        plugins = {"DTS_PLUGINS": str(self.folder / "plugins")}
        ours = {**self._store(self.folder / "none"), **plugins, **env}
        return self._run(["-m", "dts_core.cli", "daemon", *names], "daemons.toml", ours)

    def worker(self, host: str, *, version: str = "", **env: str) -> Running:
        """`dts-worker` of a host; `older` or `newer`: one that sends the messages of that version.

        The older one knows of no signatures; every other one runs nothing that the server has not signed.
        """
        is_older = version == OLDER
        ours = {
            "DTS_WORKER_HOST": host,
            "DTS_WORKER_DATA": str(self.folder / f"worker-{host}"),
            "DTS_WORKER_SLOTS": "2",
            "DTS_SIGNING_PUBLIC_KEYS_FILE": str(self.no_keys if is_older else self.public_keys),
            "DTS_SIGNING_REQUIRED": "false" if is_older else "true",
            **env,
        }
        other = ["-m", "tests.support.other_version", version]
        command = [*other, "dts_worker.cli"] if version else ["-m", "dts_worker.cli"]
        return self._run(command, "worker.toml", ours)

    def _store(self, data: Path) -> dict[str, str]:
        if not self.mongodb:
            return {"DTS_STORE_URL": f"sqlite://{data}"}
        return {"DTS_STORE_URL": self.mongodb, "DTS_STORE_ALLOW_STANDALONE": "true"}

    def _run(self, command: list[str], config: str, env: dict[str, str]) -> Running:
        started = Running(
            [*command, "-c", str(CONFIG / config)], self.folder, env={**self.env, **env}
        )
        self.running.append(started)
        return started

    # --- using

    def client(self, *, workers: int = 1) -> SyncAdminClient:
        """An administrator's client, once that many workers are up."""

        def look() -> SyncAdminClient | None:
            self.check()
            found = local_endpoint(self.data)
            client = SyncAdminClient(found.url, found.token)
            try:
                if sum(host.state == "up" for host in client.hosts().items) >= workers:
                    return client
            except DtsError:
                client.close()
                raise
            client.close()
            return None

        found = eventually(look, seconds=2 * START_SECONDS, what="the engine is ready")
        assert found is not None
        return found

    def check(self) -> None:
        """Every process lives."""
        for each in self.running:
            assert each.process.poll() is None, each.said()

    def said(self) -> str:
        """What all of them printed."""
        return "\n".join(f"--- {each.output.name}\n{each.said()}" for each in self.running)

    # --- ending

    def stop(self) -> list[int]:
        """SIGTERM to all, workers first; their exit statuses."""
        return [each.stop() for each in reversed(self.running)]

    def end(self) -> None:
        """Nothing of it is left."""
        for each in reversed(self.running):
            each.end()


@contextlib.contextmanager
def distributed(
    folder: Path, amqp: str, mongodb: str, *, env: dict[str, str] | None = None
) -> Iterator[Distributed]:
    """One for the length of a test, nothing started yet."""
    engine = Distributed(folder, amqp, mongodb, env=env)
    try:
        yield engine
    except BaseException:
        sys.stderr.write(engine.said())
        raise
    finally:
        engine.end()
