"""Every peer and dts, one after the other, several times over; medians, ratios, a table.

BENCH_SUBJECTS names only some of them, separated by commas; BENCH_REPETITIONS how often each is measured.
"""

import asyncio
import os
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.figures import medians, spread
from benchmarks.peers.modes import measure
from benchmarks.peers.ours import Ours
from benchmarks.peers.outside import PROGRAMS, Outside, Program, missing
from benchmarks.peers.page import table
from benchmarks.peers.servers import Servers, servers
from benchmarks.peers.subject import Subject

__all__ = ["run", "table"]

REPETITIONS = 3
MODES = ("enqueue", "burn_down", "sustained", "payload_1_kib", "io_10_ms")
Maker = Callable[[Servers, Path], Subject]
OURS: dict[str, dict[str, Any]] = {
    "dts": {},
    "dts tuned": {"rabbitmq": 'plane = "framing"', "worker": "prefetch = 1000"},
    "dts embedded": {"on_rabbitmq": False},
}


def makers() -> dict[str, Maker]:
    """Everything that can be measured, by name, dts first."""

    def ours(name: str, options: dict[str, Any]) -> Maker:
        return lambda shared, folder: Ours(name, shared, folder, **options)

    def outside(program: Program) -> Maker:
        return lambda shared, folder: Outside(program, shared, folder)

    return {
        **{name: ours(name, options) for name, options in OURS.items()},
        **{program.name: outside(program) for program in PROGRAMS},
    }


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure them all; one that fails is named with its reason, and the others go on."""
    wanted = [name.strip() for name in os.environ.get("BENCH_SUBJECTS", "").split(",") if name]
    repetitions = int(os.environ.get("BENCH_REPETITIONS", "1" if quick else str(REPETITIONS)))
    every = makers()
    told: dict[str, list[dict[str, Any]]] = {}
    failed: dict[str, str] = {}
    if why := missing():
        failed |= {program.name: why for program in PROGRAMS}
    with servers() as shared:
        for turn in range(
            repetitions
        ):  # in turns, so that what the machine does meanwhile hits all alike
            for name in wanted or every:
                if name in failed:
                    continue
                try:
                    told.setdefault(name, []).append(_once(every[name], shared, quick=quick))
                except Exception as error:  # noqa: BLE001 - the others can still be measured
                    failed[name] = f"{type(error).__name__}: {error}"
                    traceback.print_exc()
                print(f"  {name}, repetition {turn + 1} of {repetitions}", flush=True)
    return report(told, failed)


def _once(make: Maker, shared: Servers, *, quick: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="dts-bench-") as folder:
        subject = make(shared, Path(folder))
        return asyncio.run(measure(subject, 0.05 if quick else 1.0))


def report(told: dict[str, list[dict[str, Any]]], failed: dict[str, str]) -> dict[str, Any]:
    """Medians of each subject, the spread of its rates, and its rates beside the best peer's."""
    subjects = {}
    for name, repetitions in told.items():
        if not repetitions:
            continue
        subjects[name] = medians(repetitions) | {
            "spread": {mode: spread(repetitions, mode, "per_second") for mode in MODES}
        }
    return {
        "subjects": subjects,
        "beside_best_peer": beside_best_peer(subjects),
        "not_measured": failed,
    }


def beside_best_peer(subjects: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How many times the rate of the best peer that stores results, by mode, for each of ours."""
    peers = [
        figures
        for name, figures in subjects.items()
        if name not in OURS and figures["results"] != "not stored"
    ]
    if not peers:
        return {}
    best = {mode: max(each[mode]["per_second"] for each in peers) for mode in MODES}
    return {
        name: {mode: subjects[name][mode]["per_second"] / best[mode] for mode in MODES}
        for name in OURS
        if name in subjects
    }
