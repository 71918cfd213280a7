"""A whole dts for a measurement: a control side on any broker and store, and one worker beside it."""

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path

from benchmarks.processes import Family
from dts_core.clients import AdminClient
from dts_core.clients.endpoint import local_endpoint
from dts_core.errors import DtsError
from dts_core.signing.files import load_signer, make_key

START_SECONDS = 60.0
STOP_SECONDS = 40.0
CONTROL = """
[broker]
url = "{broker}"
[broker.rabbitmq]
{rabbitmq}
[store]
url = "{store}"
[retention]
jobs_days = {jobs_days}
"""
SERVER = """
[server]
port = 0
data = "{data}"
[signing]
key_file = "{key}"
"""
DAEMONS = ("porter", "stethoscope", "logtracer", "scheduler", "internal", "requests")
WORKER = """
[broker]
url = "{broker}"
[broker.rabbitmq]
{rabbitmq}
[worker]
host = "bench"
data = "{data}"
{lines}
[signing]
public_keys = ["{public}"]
[agent]
paths = []
"""


class Distributed:
    """Server and worker as processes of their own, and the daemons too where the store is MongoDB.

    Args:
        folder: For their files.
        url: amqp://... for RabbitMQ; empty: the embedded broker, reached by its link.
        rabbitmq: Lines of `[broker.rabbitmq]`, such as `plane = "framing"`.
        worker: Lines of `[worker]`, such as `prefetch = 1000`.
        store: mongodb://... in place of the embedded store.
        jobs_days: How long finished jobs are kept.
    """

    def __init__(
        self,
        folder: Path,
        url: str = "",
        rabbitmq: str = "",
        worker: str = "",
        store: str = "",
        jobs_days: float = 30,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._url = url or f"sqlite://{self.data}"
        self._worker_url = url or f"link+unix://{self.data}/link.sock"
        self._rabbitmq = rabbitmq
        self._worker = worker
        self._key = folder / "signing.key"
        self._is_apart = bool(store)
        self._control = CONTROL.format(
            broker=self._url,
            rabbitmq=rabbitmq,
            store=store or f"sqlite://{self.data}",
            jobs_days=jobs_days,
        )
        self._started: dict[str, asyncio.subprocess.Process] = {}

    async def start_server(self) -> AdminClient:
        """Start the server, and the daemons where they stand apart; an administrator's client."""
        if not self._key.exists():
            make_key(self._key)
        server = SERVER.format(data=self.data, key=self._key)
        config = self._write("server.toml", self._control + server)
        await self._start("server", "-m", "dts_core.cli", "server", "-c", config)
        if self._is_apart:
            config = self._write("daemons.toml", self._control)
            for name in DAEMONS:
                await self._start(name, "-m", "dts_core.cli", "daemon", name, "-c", config)
        return await self._client()

    async def start_worker(self) -> None:
        """Start the worker; does not wait for its first sign of life."""
        config = self._write(
            "worker.toml",
            WORKER.format(
                broker=self._worker_url,
                data=self.folder / "worker",
                lines=self._worker,
                rabbitmq=self._rabbitmq,
                public=load_signer(self._key).public,
            ),
        )
        await self._start("worker", "-m", "dts_worker.cli", "-c", config)

    def families(self) -> dict[str, Family]:
        """The processes that run, by part."""
        return {name: Family(each.pid) for name, each in self._started.items()}

    def said(self, part: str) -> str:
        """The end of what a part has printed."""
        return (self.folder / f"{part}.log").read_text("utf-8", "replace")[-2000:]

    async def stop(self) -> None:
        """SIGTERM to the worker, then to the server."""
        for name in reversed(tuple(self._started)):
            process = self._started.pop(name)
            if process.returncode is not None:
                continue
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()

    def _write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    async def _start(self, part: str, *arguments: str) -> None:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DTS_", "XDG_"))
        }
        with (self.folder / f"{part}.log").open("ab") as log:
            self._started[part] = await asyncio.create_subprocess_exec(
                *(sys.executable, *arguments),
                cwd=self.folder,
                env=kept | {"HOME": str(self.folder), "PYTHONPATH": str(Path(__file__).parents[1])},
                stdout=log,
                stderr=log,
            )

    async def _client(self) -> AdminClient:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._started["server"].returncode is not None:
                raise RuntimeError(f"dts server ended: {self.said('server')}")
            with contextlib.suppress(DtsError):
                found = local_endpoint(self.data)
                client = AdminClient(found.url, found.token)
                await client.session()
                return client
            await asyncio.sleep(0.1)
        raise RuntimeError(f"dts server was not ready in time: {self.said('server')}")
