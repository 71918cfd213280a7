"""What may befall a campaign on RabbitMQ and MongoDB: its processes, its servers, and the lines between them."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from tests.support.proxy import ACK, Proxy, Way
from tools.campaign_distributed import HOST, VHOST, DistributedStack
from tools.campaign_faults import Fault, Faults

DELETED: Final = ("results", "heartbeats", "requests", "jobs.default")
AWAY_SECONDS: Final = 60.0
ASK_SECONDS: Final = 0.5
BACKLOG: Final = 100
"""Jobs that are accepted right before the database is away: they cannot be over."""


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
        if self._longest >= 1:
            found.append(Fault("database away for a minute", 1, self._database_away))
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

    def _database_away(self) -> None:
        """Everybody who asks meanwhile is answered, and nothing is accepted; then the backlog goes."""
        self.probe("long", BACKLOG)
        is_killed = self.chance.random() < 0.5
        if is_killed:
            self.stack.mongo.kill()
        else:
            self._tell("store", Proxy.silence)
        try:
            self._ask_in_vain(time.monotonic() + AWAY_SECONDS)
        finally:
            if is_killed:
                self.stack.mongo.start()
            else:
                self._tell("store", Proxy.resume)
        self.recoveries.backlog_goes(self.stack.waiting)

    def _ask_in_vain(self, until: float) -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            status = self.stack.ask(f"quick-in-vain-{began:.3f}", self.recoveries.path)
            self.recoveries.answers.append(time.monotonic() - began)
            if status < 500:
                self.findings.append(f"a submission while the database was away: {status}")
            time.sleep(ASK_SECONDS)


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
