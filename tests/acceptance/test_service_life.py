"""Processes as a service manager sees them: waiting, ready, watched, stopping; over a real notify socket."""

import contextlib
import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dts_core.clients import SyncAdminClient
from dts_core.resources import etc_folder
from tests.support.distributed import DAEMONS, distributed
from tests.support.mongodb import MongoAddress
from tests.support.ports import free_ports
from tests.support.processes import START_SECONDS, Running, eventually, freeze
from tests.support.rabbitmq import RabbitNode

NOBODY = "amqp://guest:guest@127.0.0.1:1/v"
NO_STORE = "mongodb://127.0.0.1:1/dts"


class Manager:
    """A service manager's end of the socket; remembers what it heard."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._end.bind(str(path))
        self._end.setblocking(False)
        self._heard: list[str] = []

    @property
    def env(self) -> dict[str, str]:
        """What a unit with WatchdogSec=3 gives to its process."""
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": "3000000"}

    def heard(self) -> list[str]:
        """Every message so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._heard.append(self._end.recv(4096).decode())
        return self._heard

    def hears(self, text: str, *, after: int = 0, seconds: float = 2 * START_SECONDS) -> str:
        """The first message that has this text, once it is there; `after` so many messages."""
        return eventually(
            lambda: next((each for each in self.heard()[after:] if text in each), ""),
            seconds=seconds,
            what=f"{text!r} at {self.path.name}",
        )

    def pings(self, more: int) -> None:
        """So many pings come from now on."""
        before = self.count("WATCHDOG=1")
        eventually(
            lambda: self.count("WATCHDOG=1") >= before + more,
            seconds=2 * START_SECONDS,
            what=f"{more} pings at {self.path.name}",
        )

    def count(self, text: str) -> int:
        """How many messages have this text."""
        return sum(text in each for each in self.heard())

    def close(self) -> None:
        """The end of it."""
        self._end.close()


@pytest.fixture
def managers(tmp_path: Path) -> Iterator[list[Manager]]:
    """Three of them."""
    made = [Manager(tmp_path / f"notify{n}") for n in range(3)]
    yield made
    for each in made:
        each.close()


def test_server_and_worker_tell_their_life(tmp_path: Path, managers: list[Manager]) -> None:
    """READY when they work, pings from then on, none while they stand still, STOPPING with SIGTERM."""
    etc, data = etc_folder(), tmp_path / "data"
    url = {"DTS_BROKER_URL": f"sqlite://{data}", "DTS_STORE_URL": f"sqlite://{data}"}
    server = Running(
        ["-m", "dts_core.cli", "server", "-c", str(etc / "server.toml")],
        tmp_path,
        env={**url, **managers[0].env, "DTS_SERVER_PORT": "0"},
    )
    worker = Running(
        ["-m", "dts_worker.cli", "-c", str(etc / "worker.toml")],
        tmp_path,
        env={"DTS_BROKER_URL": f"link+unix://{data}/link.sock", **managers[1].env},
    )
    try:
        assert re.search(r"STATUS=ready at http://127", managers[0].hears("READY=1"))
        managers[1].hears("READY=1")
        for each in managers[:2]:
            each.pings(2)
        assert managers[0].hears("STATUS=store up, broker up")
        assert managers[1].hears("STATUS=broker up")
        freeze(server.process.pid)
        try:  # known to be away, or in doubt, but not up
            eventually(
                lambda: [each for each in managers[1].heard() if "away" in each or "doubt" in each],
                seconds=2 * START_SECONDS,
                what="the worker tells of its silent broker",
            )
        finally:
            server.process.send_signal(signal.SIGCONT)
        managers[0].pings(1)
        assert worker.stop() == 0
        managers[1].hears("STOPPING=1")
        assert server.stop() == 0
        managers[0].hears("STOPPING=1")
    finally:
        worker.end()
        server.end()


def test_nobody_there_is_waited_for(tmp_path: Path, managers: list[Manager]) -> None:
    """Server, daemons and worker say in words what they wait for, are not ready, and stop cleanly on SIGTERM."""
    [port] = free_ports(1)
    with distributed(tmp_path, NOBODY, NO_STORE, env={"DTS_STORE_DEADLINE_SECONDS": "0.5"}) as all_:
        started = [
            all_.server(DTS_SERVER_PORT=str(port), **managers[0].env),
            all_.daemon(DAEMONS, **managers[1].env),
            all_.worker("host1", **managers[2].env),
        ]
        for manager, what in zip(managers, ("store", "store", "broker"), strict=True):
            manager.hears(f"STATUS=waiting for the {what}: ")
        told = {
            path: httpx.get(f"http://127.0.0.1:{port}{path}", timeout=START_SECONDS)
            for path in ("/health/live", "/health/ready", "/status")
        }
        assert [each.status_code for each in told.values()] == [200, 503, 503]
        assert "waiting for the store: " in told["/status"].json()["detail"]
        for each, what in zip(started, ("store", "store", "broker"), strict=True):
            assert each.stop() == 0, each.said()
            assert f"waiting for the {what}" in each.said()
        assert not any(manager.count("READY=1") for manager in managers)


@pytest.mark.external("rabbitmq")
def test_worker_before_the_broker_and_the_server(
    tmp_path: Path, private_rabbit: RabbitNode, managers: list[Manager]
) -> None:
    """Started first, with RabbitMQ away and the virtual host empty, it is ready once both are there."""
    url = private_rabbit.vhost()
    private_rabbit.stop_app()
    with distributed(tmp_path, url, "") as engine:
        try:
            worker = engine.worker("host1", **managers[0].env)
            managers[0].hears("STATUS=waiting for the broker")
            server = engine.server(**managers[1].env)
            managers[1].hears("STATUS=waiting for the broker")
            assert managers[0].count("READY=1") == managers[1].count("READY=1") == 0
        finally:
            private_rabbit.start_app()
        managers[1].hears("READY=1", seconds=2 * START_SECONDS)
        managers[0].hears("READY=1", seconds=2 * START_SECONDS)
        with engine.client() as client:
            client.namespaces.add("test")
            client.functions.add("test/one", "def main():\n    return 1\n")
            assert client.submit("test/one", wait=60).result == 1
        assert (worker.stop(), server.stop()) == (0, 0)


@pytest.mark.external("rabbitmq")
def test_broker_that_goes_is_told_and_excused(
    tmp_path: Path, private_rabbit: RabbitNode, managers: list[Manager]
) -> None:
    """Away is told in words and pings go on: a new start would not bring the broker back, and would end the jobs."""
    url = private_rabbit.vhost()
    with distributed(tmp_path, url, "") as engine:
        engine.server(**managers[0].env)
        engine.worker("host1", **managers[1].env)
        for each in managers[:2]:
            each.hears("READY=1", seconds=2 * START_SECONDS)
        private_rabbit.stop_app()
        try:
            for each in managers[:2]:
                each.hears("broker away for")
                each.pings(2)
            seen = [len(each.heard()) for each in managers[:2]]
        finally:
            private_rabbit.start_app()
        for each, before in zip(managers[:2], seen, strict=True):
            each.hears("broker up", after=before)
        engine.check()


@pytest.mark.external("rabbitmq", "mongodb")
@pytest.mark.slow
def test_two_of_each(tmp_path: Path, rabbit: RabbitNode, mongodb: MongoAddress) -> None:
    """Two servers on one empty store make one administrator; killed daemons are followed by the others."""
    url = rabbit.vhost()
    with distributed(tmp_path, url, mongodb.fresh()) as engine:
        engine.server("server")
        engine.server("server2")
        first = engine.daemon(DAEMONS)
        engine.worker("host1")
        folders = [tmp_path / "server", tmp_path / "server2"]
        eventually(
            lambda: all((each / "endpoint.json").exists() for each in folders),
            seconds=2 * START_SECONDS,
            what="both servers serve",
        )
        [kept] = [each for each in folders if (each / "admin.json").exists()]
        token = json.loads((kept / "admin.json").read_bytes())["token"]
        addresses = [json.loads((each / "endpoint.json").read_bytes())["url"] for each in folders]
        with (
            SyncAdminClient(addresses[0], token) as one,
            SyncAdminClient(addresses[1], token) as other,
        ):
            eventually(lambda: one.hosts().items, seconds=2 * START_SECONDS, what="the worker")
            one.namespaces.add("test")
            one.functions.add("test/one", "def main():\n    return 1\n")
            assert other.submit("test/one", wait=60).result == 1
            engine.daemon(DAEMONS)
            eventually(
                lambda: any(part.state == "standby" for part in one.status().parts),
                seconds=2 * START_SECONDS,
                what="one stands by",
            )
            first.kill()
            engine.running.remove(first)
            job = other.submit("test/one", delay_seconds=1.0)
            assert one.wait_for(job.id, timeout_seconds=60).result == 1
        engine.check()
    rabbit.drop(url)
