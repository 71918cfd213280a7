"""The peers one after the other: cold (nothing open yet) and warm (connections kept), wall and processor time.

Of libraries the time counts from after their import, as ours does; of commands from their start, which is what their
users wait for.
"""

import json
import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.ssh_peers.hosts import Hosts, bin_of

__all__ = ["PEERS", "measure", "missing"]

ROOT: Final = Path(__file__).parents[2]
BIN: Final = bin_of(ROOT)
SECONDS: Final = 900.0
TASKS: Final = 10
"""Further tasks of the playbook, whose cost counts as warm."""
Figures = dict[str, float]


def missing() -> str:
    """Why the peers cannot be measured; empty when they can."""
    return "" if (BIN / "ansible").exists() else "they are not installed: tools/setup.sh sshbench"


def _run(hosts: Hosts, argv: list[str], **variables: str) -> tuple[str, float, float]:
    """What a command printed, its wall time, its processor time with all that it started and waited for."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(hosts.folder)} | variables
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        [str(BIN / argv[0]), *argv[1:]],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment,
        cwd=hosts.folder,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {words[-1] if words else ''}")
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = now.ru_utime + now.ru_stime - spent.ru_utime - spent.ru_stime
    return done.stdout, seconds, cpu


def _library(name: str) -> Callable[[Hosts, int], Figures]:
    def measured(hosts: Hosts, rounds: int) -> Figures:
        argv = ["python", "-m", f"benchmarks.ssh_peers.apps.{name}", hosts.place(rounds)]
        told: Figures = json.loads(_run(hosts, argv)[0].splitlines()[-1])
        return told

    return measured


def _clush(hosts: Hosts, rounds: int) -> Figures:
    def once(config: Path) -> tuple[float, float]:
        argv = ["clush", "-q", "-S", "-f", str(len(hosts.names)), "-o", f"-F {config}"]
        _, seconds, cpu = _run(hosts, [*argv, "-w", ",".join(hosts.names), "true"])
        return seconds, cpu

    cold = once(hosts.config)
    once(hosts.keeping_config)
    return _figures(cold, min(once(hosts.keeping_config) for _ in range(max(rounds // 5, 2))))


def _ansible(hosts: Hosts, rounds: int) -> Figures:
    """Raw commands, as many forks as hosts, pipelining; warm is what one more task of a playbook takes."""
    common = {
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": str(len(hosts.names)),
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "LC_ALL": "C.UTF-8",
    }
    tail = ["-i", str(hosts.inventory)]

    def once(argv: list[str], config: Path) -> tuple[float, float]:
        _, seconds, cpu = _run(hosts, argv + tail, **common, ANSIBLE_SSH_ARGS=f"-F {config}")
        return seconds, cpu

    cold = once(["ansible", "all", "-m", "raw", "-a", "true"], hosts.config)
    books = [_playbook(hosts.folder, count) for count in (1, 1 + TASKS)]
    once(["ansible-playbook", books[0]], hosts.keeping_config)
    few, many = (
        min(once(["ansible-playbook", book], hosts.keeping_config) for _ in range(2))
        for book in books
    )
    return _figures(cold, ((many[0] - few[0]) / TASKS, (many[1] - few[1]) / TASKS))


def _playbook(folder: Path, tasks: int) -> str:
    file = folder / f"tasks-{tasks}.yml"
    lines = ["- hosts: all", "  gather_facts: false", "  tasks:"]
    file.write_text("\n".join([*lines, *["    - raw: 'true'"] * tasks]) + "\n")
    return str(file)


def _figures(cold: tuple[float, float], warm: tuple[float, float]) -> Figures:
    return {
        "cold_seconds": cold[0],
        "cold_cpu_seconds": cold[1],
        "warm_seconds": warm[0],
        "warm_cpu_seconds": warm[1],
    }


PEERS: Final[dict[str, Callable[[Hosts, int], Figures]]] = {
    "ansible raw tuned": _ansible,
    "pyinfra": _library("pyinfra_app"),
    "Fabric": _library("fabric_app"),
    "parallel-ssh": _library("parallel_ssh_app"),
    "clush": _clush,
    "execnet": _library("execnet_app"),
}


def measure(hosts: Hosts, rounds: int) -> tuple[dict[str, Figures], dict[str, str]]:
    """Figures of each peer, and why others have none."""
    told: dict[str, Figures] = {}
    failed: dict[str, str] = {}
    for name, measured in PEERS.items():
        try:
            told[name] = measured(hosts, rounds)
        except Exception as error:  # noqa: BLE001 - the others can still be measured
            failed[name] = f"{type(error).__name__}: {error}"[:300]
    return told, failed
