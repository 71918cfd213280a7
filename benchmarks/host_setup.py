"""A virtual host from nothing to its worker's first heartbeat, the same again with nothing to do, and its removal.

The host has a root, a network and an sshd of its own on this machine; its worker reaches RabbitMQ through us and is
kept by the supervised process, as systemd does not run there. Needs root.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dts_core.clients import SyncAdminClient
from dts_core.views import JobView
from tests.support.privateroot import PrivateRoot, available, private_root
from tests.support.rabbitmq import private_node
from tests.support.setup_engine import setup_engine

__all__ = ["run", "table"]

HOST = "bench-1"
WAIT_SECONDS = 180.0


@contextmanager
def _client() -> Iterator[SyncAdminClient]:
    """An administrator, with the host among the virtual hosts."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dts-bench-setup-")))
        machine: PrivateRoot = stack.enter_context(private_root())
        node = stack.enter_context(private_node())
        engine = stack.enter_context(setup_engine(node, machine, folder))
        client = stack.enter_context(engine.client(workers=0))
        client.vhosts.add(HOST, mode="service", **machine.vhost())
        yield client


def _done(client: SyncAdminClient, start: Callable[[], JobView]) -> tuple[float, dict[str, Any]]:
    """Seconds from the request to the job's end as a client sees it, and what became of the host."""
    began = time.perf_counter()
    job = client.wait_for(start().id, timeout_seconds=WAIT_SECONDS)
    seconds = time.perf_counter() - began
    if job.state != "done" or HOST not in job.result["ok"]:
        raise RuntimeError(f"the job {job.id} ended {job.state}: {json.dumps(job.result)[:500]}")
    told: dict[str, Any] = job.result["hosts"][HOST]
    return seconds, told | {"job": job.id}


def _step_seconds(client: SyncAdminClient, job: str, step: str) -> float:
    """Between the two lines that the job wrote about a step."""
    at = [
        line.at
        for line in client.logs(job=job).items
        if line.text.startswith((f"{HOST}: {step}: ", f"{step}: "))
    ]
    return (at[-1] - at[0]).total_seconds()


def run(*, quick: bool = False) -> dict[str, Any]:
    """Set up, again, remove; each several times on the same machine, the program collected once before."""
    if not available():
        return {"not_measured": "it needs root and namespaces"}
    found: dict[str, list[float]] = {"init": [], "send_program": [], "again": [], "remove": []}
    with _client() as client:
        _done(client, lambda: client.vhosts.init(HOST, dry_run=True))
        for _ in range(2 if quick else 7):
            seconds, told = _done(client, lambda: client.vhosts.init(HOST))
            found["init"].append(seconds)
            found["send_program"].append(_step_seconds(client, told["job"], "program"))
            seconds, told = _done(client, lambda: client.vhosts.init(HOST))
            if told["changed"]:
                raise RuntimeError(f"the second run changed {told['changed']}")
            found["again"].append(seconds)
            found["remove"].append(_done(client, lambda: client.vhosts.remove(HOST))[0])
    return {
        f"{name}_seconds": {"median": statistics.median(each), "best": min(each)}
        for name, each in found.items()
    }


def table(figures: dict[str, Any]) -> str:
    """Markdown."""
    if "not_measured" in figures:
        return f"not measured: {figures['not_measured']}"
    words = {
        "init": "from nothing to the first heartbeat, the program's way there included",
        "send_program": "of that, the program: sent, checked, unpacked, put in place",
        "again": "the same again: nothing changes",
        "remove": "taken away, and looked whether anything is left",
    }
    lines = ["| one virtual host, seconds | median | best |", "| --- | --- | --- |"]
    for name, told in words.items():
        each = figures[f"{name}_seconds"]
        lines.append(f"| {told} | {each['median']:.2f} | {each['best']:.2f} |")
    return "\n".join(lines)
