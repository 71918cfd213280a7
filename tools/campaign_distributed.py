"""A campaign on RabbitMQ and MongoDB, both private: server, daemons and workers as processes of their own.

Every connection goes through a fault proxy: one for the control side's broker, one for its store, one for each worker.
The last worker lives in a network namespace of its own where that is allowed.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from pymongo import MongoClient

from dts_core.brokers.rabbitmq.permissions import user_of, worker_permissions
from dts_core.clients import SyncAdminClient
from dts_core.clients.endpoint import local_endpoint
from dts_core.clock import SystemClock
from dts_core.settings import QueueNames, StoreSettings
from dts_core.stores.mongodb import open_store
from tests.support.distributed import Distributed
from tests.support.mongodb import MongoServer
from tests.support.processes import Running
from tests.support.proxy import ACK, Proxy, Told, Way, proxied
from tests.support.rabbitmq import RabbitNode
from tools.campaign_faults import Fault, Faults
from tools.campaign_network import Network, is_possible
from tools.campaign_stack import FINAL_STATES, Row, Stack, Stored, free_port, name_in

VHOST: Final = "campaign"
HOST: Final = "127.0.0.1"
DAEMONS: Final = {
    "porter": ["porter"],
    "stethoscope": ["stethoscope"],
    "scheduler": ["scheduler"],
    "requests": ["requests"],
    "others": ["logtracer", "internal"],
}
NODE_LINES: Final = "consumer_timeout = 20000"
"""A delivery may stay unacked that long, in ms; RabbitMQ looks once a minute."""
ACK_AFTER_SECONDS: Final = "6"
PASSING: Final = ("heartbeats", "logs", "requests", "jobs.")
"""Queues whose messages may outlive a campaign: a second message of a job that is over is dropped when it is read."""
DELETED: Final = ("results", "heartbeats", "requests", "jobs.default")
PURGE_FROM: Final = 1_500
"""Finished jobs from which the oldest go: the stand-in for MongoDB reads all that match, whatever the limit."""
PURGE_AGE: Final = timedelta(seconds=60)


class _Engine(Distributed):
    """Starts a worker in a network namespace when one is named."""

    namespace = ""

    def _run(self, command: list[str], config: str, env: dict[str, str]) -> Running:
        if self.namespace:
            command = ["-m", "tools.in_netns", self.namespace, *command[1:]]
        return super()._run(command, config, env)


class DistributedStack(Stack):
    """The processes, the servers that they stand on, and the proxies between."""

    control = ("server", *DAEMONS)
    open_max = 600
    calm_seconds = 20.0  # with the time that its connections take to be built anew
    is_charging_exact = (
        False  # who cannot be heard for a lease's length is charged, and is not to blame
    )

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__(folder, workers)
        for name in ("rabbit", "mongo", "control"):
            (folder / name).mkdir()
        self.port = free_port()
        self.node = RabbitNode(folder / "rabbit", extra=NODE_LINES)
        self.mongo = MongoServer(folder / "mongo")
        self.links: dict[str, Told] = {}
        """Proxies: `control`, `store`, and each worker's."""
        self.network: Network | None = None
        self._purged: dict[str, Row] = {}
        self._proxies = contextlib.ExitStack()
        self._token = ""
        self._engine = _Engine(folder / "control", "", "")

    # --- what it stands on

    def prepare(self) -> None:
        """Both servers, a virtual host, a proxy for each line."""
        self.node.start()
        self.mongo.start()
        self.node.vhost(VHOST)
        if is_possible():
            self.network = Network(self.port)
            self.network.make()
        self._link("store", self.mongo.port)
        self._link("control", self.node.port, amqp=True)
        for name in self.workers:
            bind = self.network.here if self._is_apart(name) and self.network else HOST
            self._link(name, self.node.port, bind=bind, amqp=True)
        self._engine = _Engine(
            self.folder / "control",
            f"amqp://guest:guest@{HOST}:{self.links['control'].port}/{VHOST}",
            f"mongodb://{HOST}:{self.links['store'].port}/campaign",
        )

    def _link(self, name: str, port: int, *, bind: str = HOST, amqp: bool = False) -> None:
        self.links[name] = self._proxies.enter_context(proxied(HOST, port, bind=bind, amqp=amqp))

    def _is_apart(self, name: str) -> bool:
        return self.network is not None and name == self.workers[-1]

    def end(self) -> None:
        """The servers, the proxies, the network."""
        with contextlib.ExitStack() as ending:
            ending.callback(self._proxies.close)
            ending.callback(self.mongo.stop)
            ending.callback(self.node.stop)
            if self.network is not None:
                ending.callback(self.network.remove)

    # --- the processes

    def start(self, name: str) -> Running:
        """Each from etc/distributed, with its addresses by the environment."""
        if name == "server":
            return self._engine.server(DTS_SERVER_PORT=str(self.port))
        if name in DAEMONS:
            return self._engine.daemon(DAEMONS[name])
        host = f"host-{name[-1]}"
        user = user_of(host)
        permissions = worker_permissions(host, ["default"], QueueNames())
        self.node.add_user(user, VHOST, **msgspec.structs.asdict(permissions))
        address = self.network.here if self._is_apart(name) and self.network else HOST
        self._engine.namespace = self.network.name if self._is_apart(name) and self.network else ""
        try:
            return self._engine.worker(
                host,
                DTS_BROKER_URL=f"amqp://{user}:secret@{address}:{self.links[name].port}/{VHOST}",
                DTS_BROKER_RABBITMQ_ACK_AFTER_SECONDS=ACK_AFTER_SECONDS,
                **self.worker_environment(name),
            )
        finally:
            self._engine.namespace = ""

    def client(self) -> SyncAdminClient:
        """Of the one server."""
        if not self._token:
            self._token = local_endpoint(self._engine.data).token
        return SyncAdminClient(f"http://{HOST}:{self.port}", self._token)

    def unfinished(self, client: SyncAdminClient) -> dict[str, int]:
        """From the documents: the figures may be a little off until they are counted again."""
        with self._jobs() as jobs:
            found = jobs.aggregate([{"$group": {"_id": "$state", "jobs": {"$sum": 1}}}])
            return {each["_id"]: each["jobs"] for each in found if each["_id"] not in FINAL_STATES}

    # --- what is stored

    @contextlib.contextmanager
    def _jobs(self) -> Iterator[Any]:
        client: MongoClient[dict[str, Any]]
        with MongoClient(self.mongo.url) as client:
            yield client["campaign"]["jobs"]

    def purge(self) -> None:
        """Let the oldest finished jobs go, after a last look at them."""
        before = SystemClock().now() - PURGE_AGE
        with self._jobs() as jobs:
            if jobs.count_documents({"finished": {"$ne": None}}) < PURGE_FROM:
                return
            old = {"finished": {"$lt": int(before.timestamp() * 1_000_000), "$ne": None}}
            going = {doc["_id"]: _row(doc) for doc in jobs.find(old)}

        async def forget() -> None:
            settings = StoreSettings(
                url=f"{self.mongo.url}campaign", allow_standalone=True, deadline_seconds=30
            )
            store = await open_store(settings, SystemClock())
            try:
                await store.forget_jobs(before)
            finally:
                await store.close()

        asyncio.run(forget())
        self._purged |= going

    def stored(self) -> Stored:
        """Documents, and messages that are left."""
        with self._jobs() as jobs:
            documents = list(jobs.find())
        rows = {doc["_id"]: _row(doc) for doc in documents}
        left = [
            f"{queue['messages']} messages are left in {queue['name']}"
            for queue in self.node.http("GET", f"/api/queues/{VHOST}")
            if queue.get("messages") and not queue["name"].startswith(PASSING)
        ]
        return Stored(self._purged | rows, left, [])

    def wait_ready(self, seconds: float) -> bool:
        """RabbitMQ answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.node.is_ready():
                return True
            time.sleep(0.05)
        return False


def _row(doc: dict[str, Any]) -> Row:
    error = bytes(doc.get("error") or b"").decode(errors="replace")
    return Row(
        doc["state"],
        doc["epoch"],
        doc["attempt"],
        doc["losses"],
        doc.get("lease") is not None,
        doc.get("finished") is not None,
        bytes(doc.get("result") or b""),
        doc["submitter"],
        error,
        name_in(doc["doc"]),
    )


class DistributedFaults(Faults):
    """What may befall processes, servers and the lines between them."""

    stack: DistributedStack

    def kinds(self) -> list[Fault]:
        """Those of workers, of the control side, of RabbitMQ, of MongoDB, of the network."""
        found = [
            *self.worker_kinds(),
            *(Fault(f"kill the {name}", 1, self._killing(name)) for name in self.stack.control),
            Fault("freeze the porter", 1, lambda: self.freeze(["porter"], 16.0)),
            Fault("freeze the server", 1, lambda: self.freeze(["server"], 12.0)),
            Fault("freeze the stethoscope", 1, lambda: self.freeze(["stethoscope"], 16.0)),
            Fault("stop the broker", 2, self._stop_broker),
            Fault("kill the broker", 2, self._kill_broker),
            Fault("reset the workers' connections", 1, lambda: self._each_worker(Proxy.reset)),
            Fault("reset the control side's connections", 1, lambda: self._tell("control", Proxy.reset)),
            Fault("half-close a worker's connection", 1, self._half_close),
            Fault("silence of the broker for a worker", 1, self._silence_worker),
            Fault("silence of the broker for all", 1, self._silence_all),
            Fault("cut a worker between publish and confirm", 2, lambda: self._cut(self.worker(), Way.DOWN)),
            Fault("cut a worker after an ack", 2, lambda: self._cut(self.worker(), Way.UP)),
            Fault("cut the control side between publish and confirm", 1, lambda: self._cut("control", Way.DOWN)),
            Fault("cut the control side after an ack", 1, lambda: self._cut("control", Way.UP)),
            Fault("memory alarm", 1, lambda: self._alarm("set_vm_memory_high_watermark", "0.00001", "0.4")),
            Fault("disk alarm", 1, lambda: self._alarm("set_disk_free_limit", "999999999999999", "50000000")),
            *(Fault(f"delete the queue {name}", 1, self._deleting(name)) for name in DELETED),
            Fault("kill the database", 1, self._kill_database),
            Fault("silence of the database", 1, self._silence_database),
        ]  # fmt: skip
        if self.stack.network is not None:
            found.append(Fault("partition of a worker", 3, self._partition, is_of_worker=True))
        return found

    def _tell(self, name: str, act: Callable[[Proxy], None]) -> None:
        self.stack.links[name](act)

    def _each_worker(self, act: Callable[[Proxy], None]) -> None:
        for name in self.stack.workers:
            self._tell(name, act)

    def _killing(self, name: str) -> Callable[[], None]:
        return lambda: self.kill(name)

    def _deleting(self, name: str) -> Callable[[], None]:
        return lambda: self.stack.node.delete_queue(VHOST, name)

    # --- RabbitMQ

    def _stop_broker(self) -> None:
        self.stack.node.stop_app()
        self.wait(self.chance.uniform(0.5, 10.0))
        self._measured(self.stack.node.start_app)

    def _kill_broker(self) -> None:
        self.stack.node.kill()
        self.wait(self.chance.uniform(0.5, 5.0))
        self._measured(self.stack.node.start)

    def _measured(self, start: Callable[[], None]) -> None:
        """Start it, and measure from when its port opens."""
        opened: list[float] = []
        watching = threading.Thread(target=_watch, args=(self.stack.node.port, opened))
        watching.start()
        start()
        watching.join(60)
        self.recoveries.broker_is_back(opened[0] if opened else time.monotonic(), self.probe_quick)

    def _alarm(self, command: str, on: str, off: str) -> None:
        self.stack.node.ctl(command, on)
        try:
            self.wait(self.chance.uniform(2.0, 15.0))
        finally:
            self.stack.node.ctl(command, off)

    # --- lines

    def _half_close(self) -> None:
        way = self.chance.choice(list(Way))
        self._tell(self.worker(), lambda proxy: proxy.half_close(way))

    def _silence_worker(self) -> None:
        self._silent([self.worker()], self._ways(), 25.0)

    def _silence_all(self) -> None:
        self._silent(["control", *self.stack.workers], [], 25.0)

    def _silence_database(self) -> None:
        self._silent(["store"], [], 20.0)

    def _ways(self) -> list[Way]:
        return self.chance.choice([[Way.UP], [Way.DOWN], [Way.UP, Way.DOWN]])

    def _silent(self, names: Sequence[str], ways: Sequence[Way], longest: float) -> None:
        for name in names:
            self._tell(name, lambda proxy: proxy.silence(*ways))
        try:
            self.wait(self.chance.uniform(1.0, longest))
        finally:
            for name in names:
                self._tell(name, Proxy.resume)

    def _cut(self, name: str, way: Way) -> None:
        """Down: the confirm of something published does not come; up: the broker has the ack, and then no more."""
        self._tell(name, lambda proxy: proxy.cut_at(ACK, way, after=way is Way.UP))
        deadline = time.monotonic() + 5
        before = self.stack.links[name](lambda proxy: proxy.cuts)
        while time.monotonic() < deadline:
            if self.stack.links[name](lambda proxy: proxy.cuts) > before:
                return
            time.sleep(0.05)
        self._tell(name, Proxy.resume)

    def _partition(self) -> None:
        assert self.stack.network is not None
        to_worker, from_worker = self.chance.choice([(True, False), (False, True), (True, True)])
        with self.stack.network.cut(to_worker=to_worker, from_worker=from_worker):
            self.wait(self.chance.uniform(2.0, 30.0))

    # --- MongoDB

    def _kill_database(self) -> None:
        self.stack.mongo.kill()
        self.wait(self.chance.uniform(0.5, 10.0))
        self.stack.mongo.start()


def _watch(port: int, opened: list[float]) -> None:
    """Note when the port takes a connection and speaks."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1) as stream:
            stream.sendall(b"AMQP\x00\x00\x09\x01")
            stream.settimeout(5)
            if stream.recv(1) == b"\x01":
                opened.append(time.monotonic())
                return
        time.sleep(0.02)
