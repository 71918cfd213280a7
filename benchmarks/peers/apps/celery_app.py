"""Celery: confirms on, acks after the job, results as messages on a reply queue."""

import time
from importlib.metadata import version
from typing import Any

from celery import Celery

from benchmarks.peers.apps.place import AMQP, IO_SECONDS

app = Celery("bench", broker=AMQP, backend="rpc://")
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=64,
    broker_transport_options={"confirm_publish": True},
    result_persistent=True,
    broker_connection_retry_on_startup=True,
)


def _noop(payload: str = "") -> int:
    return 1


def _io(payload: str = "") -> int:
    time.sleep(IO_SECONDS)
    return 1


JOBS: dict[str, Any] = {
    "noop": app.task(_noop, name="noop"),
    "io": app.task(_io, name="io"),
}


class Client:
    """One synchronous producer: a confirm for each call."""

    version = version("celery")

    def __init__(self) -> None:
        self.results = f"queue {app.backend.oid}"

    def enqueue(self, job: str, count: int, payload: str) -> None:
        task = JOBS[job]
        for _ in range(count):
            task.delay(payload)

    def one(self) -> None:
        JOBS["noop"].delay("").get(timeout=20)
