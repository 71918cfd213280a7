"""A peer: its client driven by JSON lines, its worker by its own command, both in .venv-bench."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.servers import Counts, Servers
from benchmarks.processes import Family

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv-bench" / "bin"
STOP_SECONDS = 20.0
ANSWER_SECONDS = 240.0
LINE_MAX = 1 << 20


@dataclass(frozen=True)
class Program:
    """How one peer is run."""

    name: str
    app: str
    worker: Sequence[str]
    """Arguments of `python -m`."""
    jobs: int
    stores_in_redis: bool = False


APPS = "benchmarks.peers.apps"
CELERY = ("celery", "-A", f"{APPS}.celery_app", "worker", "--loglevel", "ERROR")
CELERY_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")
PROGRAMS = (
    Program("Celery prefork 2", "celery_app", (*CELERY, *CELERY_QUIET, "-c", "2"), 5_000),
    Program("Celery solo", "celery_app", (*CELERY, *CELERY_QUIET, "-P", "solo"), 5_000),
    Program(
        "Dramatiq 1 x 8",
        "dramatiq_app",
        ("dramatiq", f"{APPS}.dramatiq_app", "-p", "1", "-t", "8"),
        5_000,
        stores_in_redis=True,
    ),
    Program(
        "Taskiq",
        "taskiq_app",
        ("taskiq", "worker", f"{APPS}.taskiq_app:broker", "-w", "1", "--log-level", "ERROR"),
        10_000,
        stores_in_redis=True,
    ),
    Program(
        "FastStream",
        "faststream_app",
        ("faststream", "run", f"{APPS}.faststream_app:app", "--log-level", "error"),
        10_000,
    ),
)


@dataclass
class Outside:
    """See Subject."""

    program: Program
    servers: Servers
    folder: Path
    version: str = ""
    results: str = ""
    _started: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    _counts: Counts | None = None
    _is_alone: bool = False

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def jobs(self) -> int:
        return self.program.jobs

    async def open(self) -> None:
        self._url = self.servers.rabbit.vhost()
        self._environment = os.environ | {"BENCH_AMQP_URL": self._url, "PYTHONPATH": str(ROOT)}
        if self.program.stores_in_redis and self.servers.redis is not None:
            await self.servers.redis.empty()
            self._environment |= {
                "BENCH_RESULTS": "redis",
                "BENCH_REDIS_URL": self.servers.redis.url,
            }
        where = await self._open_client()
        self.results = words(where)
        self._counts = await Counts.open(self._url, self.servers.redis, where)

    async def _open_client(self) -> str:
        self._client = await self._start("client", (f"{APPS}.driver", self.program.app), piped=True)
        told = await self._answer()
        self.version = told["version"]
        return str(told["results"])

    async def start_worker(self) -> None:
        await self._start("worker", self.program.worker)

    async def enqueue(self, job: str, count: int, size: int) -> float:
        if self._counts is not None:
            self._counts.expect(count)
        told = await self._ask({"do": "enqueue", "job": job, "count": count, "bytes": size})
        return float(told["seconds"])

    async def one(self, count: int) -> list[float]:
        if not self._is_alone:  # a client of its own, whose reply queue holds nothing yet
            await stop(self._started.pop("client"))
            await self._open_client()
            self._is_alone = True
        told = await self._ask({"do": "one", "count": count})
        return [float(each) for each in told["milliseconds"]]

    async def stored(self) -> int:
        assert self._counts is not None
        return await self._counts.stored()

    def families(self) -> dict[str, Family]:
        found = {name: Family(each.pid) for name, each in self._started.items()}
        return found | self.servers.families(with_redis=self.results == "redis")

    async def close(self) -> None:
        if self._counts is not None:
            await self._counts.close()
        for name in ("worker", "client"):
            if (process := self._started.pop(name, None)) is not None:
                await stop(process)
        self.servers.rabbit.drop(self._url)

    async def _start(
        self, part: str, arguments: Sequence[str], *, piped: bool = False
    ) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL
        with (self.folder / f"{part}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(str(BIN / "python"), "-m", *arguments),
                cwd=self.folder,
                env=self._environment,
                stdin=pipe,
                stdout=pipe if piped else log,
                stderr=log,
                limit=LINE_MAX,
            )
        self._started[part] = process
        return process

    async def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._client.stdin is not None
        self._client.stdin.write(json.dumps(question).encode() + b"\n")
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self._client.stdout is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self._client.stdout.readline()
        if not line:
            log = (self.folder / "client.log").read_text("utf-8", "replace")
            raise RuntimeError(f"the client of {self.name} ended: {log[-1500:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def words(where: str) -> str:
    """Where results are stored, for people."""
    kind, _, _ = where.partition(" ")
    return {"queue": "result queue", "redis": "redis", "gone": "not stored"}[kind]


async def stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM; after a while SIGKILL, with whatever it started."""
    if process.returncode is not None:
        return
    family = Family(process.pid).members()
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
    for each in family:
        if each.is_running() and each.pid != process.pid:
            each.kill()


def missing() -> str:
    """Why no peer can be measured; empty when they can."""
    if (BIN / "python").exists():
        return ""
    return f"{BIN.parent.name} is not there: run `tools/setup.sh bench` ({sys.executable} has no peers)"
