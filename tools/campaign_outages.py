"""What may befall a campaign on RabbitMQ and MongoDB: its processes, its servers, and the lines between them."""

import collections
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.support.asking import PROMISED_SECONDS, Answer, Ask, asks
from tests.support.proxy import ACK, Proxy, Way
from tools.campaign_distributed import HOST, VHOST, DistributedStack
from tools.campaign_faults import Fault, Faults
from tools.campaign_load import Asked

DELETED: Final = ("results", "heartbeats", "requests", "jobs.default")
AWAY_SECONDS: Final = 60.0
KNOWN_SECONDS: Final = 1.5
"""Who asks is known to the server for a second: each request after that has to be looked up."""
ASK_SECONDS: Final = 0.5
BACKLOG_SECONDS: Final = 30.0
"""In which the backlog is gone once the database is back."""
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
            found += [
                Fault("database away for a minute: killed", 1, self._database_killed),
                Fault("database away for a minute: frozen", 1, self._database_frozen),
                Fault("database away for a minute: silent", 1, self._database_silent),
            ]
        if self.stack.network is not None:
            found += [
                Fault("partition of a worker", 2, self._partition, is_of_worker=True),
                Fault(
                    "cut a worker off until its jobs run elsewhere",
                    2,
                    self._cut_off,
                    is_of_worker=True,
                ),
            ]
        return found

    def _tell(self, name: str, act: Callable[[Proxy], None]) -> None:
        self.stack.links[name](act)

    def _each_worker(self, act: Callable[[Proxy], None]) -> None:
        with self.harm(self.stack.workers):
            for name in self.stack.workers:
                self._tell(name, act)

    def _killing(self, name: str) -> Callable[[], None]:
        return lambda: self.kill(name)

    def _deleting(self, name: str) -> Callable[[], None]:
        def act() -> None:
            with self.harm(self.stack.workers):
                self.stack.node.delete_queue(VHOST, name)

        return act

    # --- RabbitMQ

    def _stop_broker(self) -> None:
        with self.harm(self.stack.workers):
            self.stack.node.stop_app()
            self.wait(self.chance.uniform(0.5, 10.0))
            self._measured(self.stack.node.start_app)

    def _kill_broker(self) -> None:
        with self.harm(self.stack.workers):
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
        with self.harm(self.stack.workers):
            self.stack.node.ctl(command, on)
            try:
                self.wait(self.chance.uniform(2.0, 15.0))
            finally:
                self.stack.node.ctl(command, off)

    # --- lines

    def _half_close(self) -> None:
        way = self.chance.choice(list(Way))
        name = self.worker()
        with self.harm([name]):
            self._tell(name, lambda proxy: proxy.half_close(way))

    def _silence_worker(self) -> None:
        self._silent([self.worker()], self._ways(), 25.0)

    def _silence_all(self) -> None:
        self._silent(["control", *self.stack.workers], [], 25.0)

    def _silence_database(self) -> None:
        self._silent(["store"], [], 20.0)

    def _ways(self) -> list[Way]:
        return self.chance.choice([[Way.UP], [Way.DOWN], [Way.UP, Way.DOWN]])

    def _silent(self, names: Sequence[str], ways: Sequence[Way], longest: float) -> None:
        with self.harm(names):
            for name in names:
                self._tell(name, lambda proxy: proxy.silence(*ways))
            try:
                self.wait(self.chance.uniform(1.0, longest))
            finally:
                for name in names:
                    self._tell(name, Proxy.resume)

    def _cut(self, name: str, way: Way) -> None:
        """Down: the confirm of something published does not come; up: the broker has the ack, and then no more."""
        with self.harm([name]):
            self._cut_once(name, way)

    def _cut_once(self, name: str, way: Way) -> None:
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
        cut = self.stack.network.cut(to_worker=to_worker, from_worker=from_worker)
        with self.harm(self.stack.workers[-1:]), cut:
            self.wait(self.chance.uniform(2.0, 30.0))

    def _cut_off(self) -> None:
        """Measured until what ran there runs elsewhere; only then its network is whole again."""
        assert self.stack.network is not None
        to_worker, from_worker = self.chance.choice([(True, False), (False, True), (True, True)])
        with self.victim(self.stack.workers[-1]) as name:
            if not name:
                return
            worker, kept = self.stack.running[name], self.recoveries.cut_off
            with (
                self.harm([name]),
                contextlib.ExitStack() as cut,
                self.recoveries.of_silent(worker, kept, is_calm=self.is_calm()),
            ):
                cut.enter_context(
                    self.stack.network.cut(to_worker=to_worker, from_worker=from_worker)
                )

    # --- MongoDB

    def _kill_database(self) -> None:
        self.stack.mongo.kill()
        self.wait(self.chance.uniform(0.5, 10.0))
        self.stack.mongo.start()

    def _database_killed(self) -> None:
        self._database_away(self.stack.mongo.kill, self.stack.mongo.start)

    def _database_frozen(self) -> None:
        self._database_away(self.stack.mongo.freeze, self.stack.mongo.thaw)

    def _database_silent(self) -> None:
        self._database_away(
            lambda: self._tell("store", Proxy.silence), lambda: self._tell("store", Proxy.resume)
        )

    def _database_away(self, leave: Callable[[], None], come_back: Callable[[], None]) -> None:
        """Everybody who asks meanwhile is answered, and nothing is accepted; then the backlog goes."""
        self.probe("long", BACKLOG)
        leave()
        try:
            time.sleep(KNOWN_SECONDS)
            self._ask_in_vain(time.monotonic() + AWAY_SECONDS - KNOWN_SECONDS)
        finally:
            come_back()
        self.recoveries.backlog_goes(self._waiting_tended)
        if self.recoveries.backlog and self.recoveries.backlog[-1] > BACKLOG_SECONDS:
            took = f"{self.recoveries.backlog[-1]:.1f} s"
            self.findings.append(f"the backlog took {took}, more than {BACKLOG_SECONDS:g} s")

    def _waiting_tended(self) -> int:
        """Jobs that wait; a worker that ended before the fault is started anew, as its supervisor would by now."""
        self.stack.tend()
        return self.stack.waiting()

    def _asks_in_vain(self) -> list[Ask]:
        """Everything that can be asked, with a name of its own for each job."""
        every = asks("test/quick", "host-0", args=["", str(self.recoveries.path)])
        # A copy: jobs of one request may be one object.
        copies = [ask._replace(body=json.loads(json.dumps(ask.body))) for ask in every]
        for job in (job for ask in copies for job in jobs_in(ask)):
            job["args"][0] = f"quick-in-vain-{len(self.asked)}"
            self.asked[job["args"][0]] = Asked.UNKNOWN
        return copies

    def _ask_in_vain(self, until: float) -> None:
        statuses: collections.Counter[int] = collections.Counter()
        worst: Answer | None = None
        while time.monotonic() < until:
            self.stack.tend()
            for each in self.stack.ask(self._asks_in_vain()):
                self.recoveries.answers.append(each.seconds)
                statuses[each.status] += 1
                for job in jobs_in(each.ask):
                    self.asked[job["args"][0]] = Asked.REFUSED.after(each.status)
                worst = each if worst is None or each.seconds > worst.seconds else worst
                if wrong := _wrong_in_vain(each):
                    self.findings.append(f"{each.ask.name} while the database was away: {wrong}")
            time.sleep(ASK_SECONDS)
        if worst is not None:
            told = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
            print(f"      answers {told}; the slowest {worst.seconds:.2f} s: {worst.ask.name}")


def jobs_in(ask: Ask) -> list[dict[str, Any]]:
    """The jobs that a request submits."""
    body = ask.body or {}
    return [job for job in body.get("jobs", [body]) if "args" in job]


def _wrong_in_vain(answer: Answer) -> str:
    """What is wrong with an answer of a server without its database; empty: nothing is."""
    if answer.seconds > PROMISED_SECONDS:
        return f"answered after {answer.seconds:.2f} s"
    expected = 200 if answer.ask.path == "/health/live" else 503
    return "" if answer.status == expected else f"{answer.status} {answer.detail}"


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
