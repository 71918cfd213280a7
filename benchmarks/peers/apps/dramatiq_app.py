"""Dramatiq: confirms on; with BENCH_RESULTS=redis each result is stored there."""

import os
import time
from importlib.metadata import version
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.peers.apps.place import AMQP, IO_SECONDS, REDIS

STORED = os.environ.get("BENCH_RESULTS") == "redis"
broker = RabbitmqBroker(url=AMQP, confirm_delivery=True)
if STORED:
    broker.add_middleware(Results(backend=RedisBackend(url=REDIS)))
dramatiq.set_broker(broker)
OPTIONS = {"store_results": True} if STORED else {}


def _noop(payload: str = "") -> int:
    return 1


def _io(payload: str = "") -> int:
    time.sleep(IO_SECONDS)
    return 1


JOBS: dict[str, Any] = {
    "noop": dramatiq.actor(_noop, actor_name="noop", **OPTIONS),
    "io": dramatiq.actor(_io, actor_name="io", **OPTIONS),
}


class Client:
    """One synchronous producer: a confirm for each call."""

    version = version("dramatiq")
    results = "redis" if STORED else "gone default"

    def enqueue(self, job: str, count: int, payload: str) -> None:
        actor = JOBS[job]
        for _ in range(count):
            actor.send(payload)

    def one(self) -> None:
        JOBS["noop"].send("").get_result(block=True, timeout=20_000)
