"""Run the benchmarks: a table on the terminal, benchmarks/out/latest.json beside it."""

import argparse
import importlib
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PARTS = {
    "broker": "the embedded broker by itself",
    "store": "the embedded store with one million jobs",
    "children": "warm child processes",
    "end_to_end": "the whole road, through HTTP",
    "huey_peer": "Huey with SQLite, in the same run",
    "logins": "a flood of logins beside other calls",
    "documents": "the admin collections with 100,000 documents each",
    "rabbitmq": "the RabbitMQ adapter by itself",
    "planes": "what carries the messages to RabbitMQ: our own framing, aiormq, aio-pika",
    "ssh": "calls on hosts that are reached by SSH",
    "host_setup": "a virtual host from nothing to its first heartbeat",
    "scale": "hosts that one control side carries",
    "console": "the console on 100,000 documents",
    "console_fanout": "the console on a fan-out of 500 hosts with 10,000 lines each",
    "peers": "dts and other task systems on one RabbitMQ",
}
MODULES = {"peers": "benchmarks.peers.suite"}
"""Of the parts that are no module of this folder."""
OUT = Path(__file__).parent / "out"


def flatten(figures: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested figures as (dotted name, value)."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def shown(value: Any) -> str:
    """A figure for people."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def ratios(figures: dict[str, Any]) -> dict[str, float]:
    """dts beside Huey, from this same run."""
    road, peer = figures.get("end_to_end"), figures.get("huey_peer")
    if not road or not peer:
        return {}
    return {
        f"end_to_end_beside_huey_{way}": road["asynchronous"]["end_to_end_per_second"]
        / told["end_to_end_per_second"]
        for way, told in peer.items()
    }


def main() -> int:
    """Measure the parts asked for; 0 when all of them could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"only these of: {', '.join(PARTS)}"
    )
    parser.add_argument("--quick", action="store_true", help="fewer jobs: does it run at all?")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is stopped
    figures: dict[str, Any] = {}
    for part in asked.parts or PARTS:
        print(f"\n{part}: {PARTS[part]}", flush=True)
        started = time.monotonic()
        module = importlib.import_module(MODULES.get(part, f"benchmarks.{part}"))
        figures[part] = module.run(quick=asked.quick)
        if hasattr(module, "table"):
            print(module.table(figures[part]))
        else:
            for name, value in flatten(figures[part]):
                print(f"  {name:<56}{shown(value):>14}")
        print(f"  ({time.monotonic() - started:.0f} s)", flush=True)
    figures["ratios"] = ratios(figures)
    for name, value in figures["ratios"].items():
        print(f"  {name:<56}{shown(value):>14}")
    OUT.mkdir(exist_ok=True)
    about = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "quick": asked.quick,
    }
    for name, told in {"latest": figures, **figures}.items():
        (OUT / f"{name}.json").write_text(json.dumps({"about": about, **told}, indent=1) + "\n")
    print(f"\nwritten: {OUT / 'latest.json'}, and a file for each part beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
