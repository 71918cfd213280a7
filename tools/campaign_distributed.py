"""A campaign on RabbitMQ and MongoDB, both private: server, daemons and workers as processes of their own.

Every connection goes through a fault proxy: one for the control side's broker, one for its store, one for each worker.
The last worker lives in a network namespace of its own where that is allowed.
"""

import asyncio
import base64
import contextlib
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx
import msgspec
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from dts_core import codec
from dts_core.brokers.base import JOBS, RESULTS
from dts_core.brokers.rabbitmq.permissions import user_of, worker_permissions
from dts_core.clients import SyncAdminClient
from dts_core.clients.endpoint import local_endpoint
from dts_core.clock import SystemClock
from dts_core.errors import StoreUnavailable
from dts_core.model import JobResult, JobResults
from dts_core.settings import QueueNames, StoreSettings
from dts_core.stores.fields import micros
from dts_core.stores.mongodb import open_store
from tests.support.asking import Answer, Ask, answers
from tests.support.distributed import Distributed
from tests.support.mongodb import MongoServer
from tests.support.ports import free_port
from tests.support.processes import Running
from tests.support.proxy import Told, proxied
from tests.support.rabbitmq import RabbitNode
from tools.campaign_charges import Charge
from tools.campaign_network import Network, is_possible
from tools.campaign_stack import (
    FINAL_STATES,
    Row,
    Stack,
    Stored,
    charge_in,
    name_in,
)

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
PASSING: Final = ("heartbeats", "logs", "requests")
"""Queues whose messages may outlive a campaign."""
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
        self._purged_charges: list[Charge] = []
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
            # Directly: a replica set would name its own address, and that is not the proxy's.
            f"mongodb://{HOST}:{self.links['store'].port}/campaign?directConnection=true",
        )

    def _link(self, name: str, port: int, *, bind: str = HOST, amqp: bool = False) -> None:
        self.links[name] = self._proxies.enter_context(proxied(HOST, port, bind=bind, amqp=amqp))

    def _is_apart(self, name: str) -> bool:
        return self.network is not None and name == self.workers[-1]

    def end(self) -> None:
        """The servers, without a word since nobody reads them again, the proxies, the network."""
        with contextlib.ExitStack() as ending:
            ending.callback(self._proxies.close)
            ending.callback(self.mongo.stop, signal.SIGKILL)
            ending.callback(self.node.stop, signal.SIGKILL)
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

    def ask(self, every: Sequence[Ask]) -> list[Answer]:
        """Ask the server all of it at once, each request once and without a second try."""
        self.client().close()

        async def all_of_it() -> list[Answer]:
            async with httpx.AsyncClient(base_url=f"http://{HOST}:{self.port}") as http:
                return await answers(http, every, self._token)

        return asyncio.run(all_of_it())

    def unfinished(self, client: SyncAdminClient) -> dict[str, int]:
        """From the documents: the figures may be a little off until they are counted again."""
        with self._jobs() as jobs:
            found = jobs.aggregate([{"$group": {"_id": "$state", "jobs": {"$sum": 1}}}])
            return {each["_id"]: each["jobs"] for each in found if each["_id"] not in FINAL_STATES}

    def acked(self, names: set[str], ago: float) -> set[str]:
        """Those that were accepted longer before then than a delivery stays unacked."""
        then = SystemClock().now() - timedelta(seconds=ago + float(ACK_AFTER_SECONDS))
        with self._jobs() as jobs:
            old = jobs.find({"created": {"$lt": micros(then)}}, {"doc": 1})
            return names & {name_in(doc["doc"]) for doc in old}

    def waiting(self) -> int:
        """Jobs that are not over and not endless."""
        with self._jobs() as jobs:
            there = jobs.find({"state": {"$nin": sorted(FINAL_STATES)}}, {"doc": 1})
            return sum(not name_in(doc["doc"]).startswith("endless") for doc in there)

    # --- what is stored

    @contextlib.contextmanager
    def _jobs(self) -> Iterator[Any]:
        client: MongoClient[dict[str, Any]]
        with MongoClient(self.mongo.url) as client:
            try:
                yield client["campaign"]["jobs"]
            except PyMongoError as error:
                raise StoreUnavailable(str(error)) from error

    def purge(self) -> None:
        """Let the oldest finished jobs go, after a last look at them."""
        before = SystemClock().now() - PURGE_AGE
        with self._jobs() as jobs:
            if jobs.count_documents({"finished": {"$ne": None}}) < PURGE_FROM:
                return
            old = {"finished": {"$lt": int(before.timestamp() * 1_000_000), "$ne": None}}
            going = list(jobs.find(old))

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
        # One that was not removed after all comes here again, with the same charges.
        new = [doc for doc in going if doc["_id"] not in self._purged]
        self._purged |= {doc["_id"]: _row(doc) for doc in new}
        self._purged_charges += _charges(new)

    def stored(self) -> Stored:
        """Documents, and messages that are left."""
        with self._jobs() as jobs:
            documents = list(jobs.find())
        rows = {doc["_id"]: _row(doc) for doc in documents}
        rows = self._purged | rows
        left = [
            f"{queue['messages']} messages are left in {queue['name']}: {wrong}"
            for queue in self.node.http("GET", f"/api/queues/{VHOST}")
            if queue.get("messages") and (wrong := self._wrongly_left(queue["name"], rows))
        ]
        kept = [doc for doc in documents if doc["_id"] not in self._purged]
        return Stored(rows, left, [*self._purged_charges, *_charges(kept)])

    def _wrongly_left(self, queue: str, rows: dict[str, Row]) -> list[str]:
        """Messages that should not outlive a campaign; one of a job that is over is dropped when it is read."""
        if queue.startswith(PASSING):
            return []
        asked = {"count": 1_000, "ackmode": "ack_requeue_true", "encoding": "base64"}
        found = self.node.http("POST", f"/api/queues/{VHOST}/{quote(queue, safe='')}/get", asked)
        return [wrong for message in found if (wrong := wrongly_left(queue, message, rows))]

    def wait_ready(self, seconds: float) -> bool:
        """RabbitMQ answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.node.is_ready():
                return True
            time.sleep(0.05)
        return False


def wrongly_left(queue: str, message: dict[str, Any], rows: dict[str, Row]) -> str:
    """What is wrong with a message that is left; empty: nothing is."""
    named = str(message["properties"].get("message_id", ""))
    if queue.startswith(JOBS):
        row = rows.get(named)
        return "" if row is not None and row.state in FINAL_STATES else f"job {named}: {row}"
    if queue == RESULTS:
        results = codec.decode(base64.b64decode(message["payload"]), JobResults)
        # A porter that stops leaves its last proof, and a result of a claim that is over changes nothing.
        left = [each.id for each in results.results if not _is_over(each, rows)]
        return f"results of {left}" if left else ""
    return named or "a message"


def _is_over(result: JobResult, rows: dict[str, Row]) -> bool:
    row = rows.get(result.id)
    return row is not None and (row.state in FINAL_STATES or row.epoch > result.epoch)


def _charges(documents: Iterable[dict[str, Any]]) -> Iterator[Charge]:
    for doc in documents:
        for attempt in doc.get("attempts") or ():
            if (charge := charge_in(doc["_id"], bytes(attempt))) is not None:
                yield charge


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
