"""A producer that does what its standard input says, one JSON line at a time: `python -m ... APP`.

{"do": "enqueue", "job": "noop", "count": 1000, "bytes": 0} -> {"seconds": ...}
{"do": "one", "count": 400} -> {"milliseconds": [...]}
"""

import importlib
import json
import sys
import time
from typing import Any


def enqueue(client: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Publish, each confirmed."""
    payload = "x" * asked["bytes"]
    started = time.perf_counter()
    client.enqueue(asked["job"], asked["count"], payload)
    return {"seconds": time.perf_counter() - started}


def one(client: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """One job at a time, from the call to its result here."""
    times = []
    for _ in range(asked["count"]):
        started = time.perf_counter()
        client.one()
        times.append((time.perf_counter() - started) * 1e3)
    return {"milliseconds": times}


def main() -> None:
    """Answer until standard input closes."""
    client = importlib.import_module(f"benchmarks.peers.apps.{sys.argv[1]}").Client()
    verbs = {"enqueue": enqueue, "one": one}
    print(json.dumps({"version": client.version, "results": client.results}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(verbs[asked["do"]](client, asked)), flush=True)


if __name__ == "__main__":
    main()
