"""SSH: calls on kept interpreters, one call by itself, hosts from cold, what a kept host takes; other programs beside.

One sshd of our own on many addresses of loopback, so both ends share the machine's cores.
BENCH_SIZES names the numbers of hosts that the peers are measured with, BENCH_REPETITIONS how often.
"""

import asyncio
import contextlib
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks.figures import percentile
from benchmarks.ssh_peers.apps.driver import WARM_SECONDS
from benchmarks.ssh_peers.hosts import Hosts
from benchmarks.ssh_peers.page import table
from benchmarks.ssh_peers.suite import PEERS, measure, missing
from dts_core import loops
from dts_core.children.calls import Call
from dts_core.ssh.calls import Calls
from dts_core.ssh.fanout import FanOut
from dts_core.ssh.outcome import HostState, Outcome
from dts_core.ssh.pool import Sessions
from dts_core.ssh.settings import SshSettings
from dts_core.ssh.target import Target
from tests.support.sshcalls import far_call
from tests.support.sshd import SshServer, ssh_server

__all__ = ["run", "table"]

SOURCE = "def main():\n    return None\n"
SIZES = "1,10,50,100"
WARM_HOSTS = 10
KEPT_HOSTS = 50
BEHIND = 200
IDLE_SECONDS = 65.0
"""Longer than from one keep-alive of SSH to the next, so that each host has had one."""
# Patient: a crowded machine is measured too, and slowly is how it is then.
SETTINGS = SshSettings(connect_seconds=60.0, login_seconds=60.0)
# What the user's own shell does at each login is no figure of ours, nor of the peers'.
BARE = "SetEnv HOME=/nonexistent"


def _checked(outcome: Outcome) -> None:
    if outcome.state is not HostState.OK:
        raise RuntimeError(f"a call failed: {outcome}")


async def _fan_out(calls: Calls, targets: list[Target], call: Call) -> int:
    """One call on each; how many did not end well."""
    failed = 0
    async for outcome in FanOut(targets, lambda target: calls.call(target, call)):
        failed += outcome.state is not HostState.OK
    return failed


async def _warm(calls: Calls, targets: list[Target], call: Call, rounds: int) -> float:
    """Calls per second, one on each host per round."""
    started = time.perf_counter()
    for _ in range(rounds):
        for outcome in await asyncio.gather(*(calls.call(each, call) for each in targets)):
            _checked(outcome)
    return rounds * len(targets) / (time.perf_counter() - started)


async def _streaming(calls: Calls, targets: list[Target], call: Call, rounds: int) -> float:
    """Calls per second, each host called again as soon as it has answered."""

    async def again(target: Target) -> None:
        for _ in range(rounds):
            _checked(await calls.call(target, call))

    started = time.perf_counter()
    await asyncio.gather(*(again(target) for target in targets))
    return rounds * len(targets) / (time.perf_counter() - started)


async def _one(calls: Calls, target: Target, call: Call, count: int) -> dict[str, float]:
    times = []
    for _ in range(count):
        started = time.perf_counter()
        _checked(await calls.call(target, call))
        times.append((time.perf_counter() - started) * 1e6)
    return {"p50_us": statistics.median(times), "p99_us": percentile(times, 0.99)}


def _far_seconds(server: SshServer) -> float:
    """Processor time of everything that the sshd has started and that lives."""
    spent = 0.0
    for each in psutil.Process(server.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            spent += _precise(each)
    return spent


def _precise(process: psutil.Process) -> float:
    """In nanoseconds where the system counts them: its ticks are as long as a whole login."""
    try:
        return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        times = process.cpu_times()
        return float(times.user + times.system)


async def _spent(
    server: SshServer, work: Coroutine[Any, Any, float], calls: int
) -> dict[str, float]:
    """The rate of some work, and the processor time of a call at both ends; that depends less on other load."""
    near, far = time.process_time(), _far_seconds(server)
    rate = await work
    return {
        "per_second": rate,
        "near_us_per_call": (time.process_time() - near) * 1e6 / calls,
        "far_us_per_call": (_far_seconds(server) - far) * 1e6 / calls,
    }


async def _beside_peers(server: SshServer, targets: list[Target], rounds: int) -> dict[str, float]:
    """One call on each from nothing, and again with everything kept: what the peers are measured with."""
    call = far_call(SOURCE)
    async with Sessions(SETTINGS) as sessions, Calls(sessions) as calls:
        spent, started = time.process_time(), time.perf_counter()
        if await _fan_out(calls, targets, call):
            raise RuntimeError("a call failed")
        cold, cold_cpu = time.perf_counter() - started, time.process_time() - spent
        far = _far_seconds(server)
        spent, started, done = time.process_time(), time.perf_counter(), 0
        while done < rounds or time.perf_counter() - started < WARM_SECONDS:
            await _warm(calls, targets, call, rounds)
            done += rounds
        return {
            "cold_seconds": cold,
            "cold_cpu_seconds": cold_cpu,
            "cold_far_seconds": far,
            "warm_seconds": (time.perf_counter() - started) / done,
            "warm_cpu_seconds": (time.process_time() - spent) / done,
        }


async def _calls(server: SshServer, targets: list[Target], *, quick: bool) -> dict[str, Any]:
    """Rates, and one call by itself."""
    call = far_call(SOURCE)
    figures: dict[str, Any] = {}
    rounds, repeats = (100, 2) if quick else (2000, 5)
    async with Sessions(SETTINGS) as sessions, Calls(sessions) as calls:
        await _warm(calls, targets, call, 20)
        for name, way in (("rounds", _warm), ("streaming", _streaming)):
            found = [
                await _spent(server, way(calls, targets, call, rounds), rounds * len(targets))
                for _ in range(repeats)
            ]
            figures[f"warm_10_{name}"] = max(found, key=lambda told: told["per_second"])
        figures["one"] = await _one(calls, targets[0], call, rounds)
    return figures


async def _kept(targets: list[Target], *, quick: bool) -> dict[str, float]:
    """What a host costs that is kept and not called: the second fifty, behind what is made once."""
    call, own = far_call(SOURCE), psutil.Process()
    async with Sessions(SETTINGS) as sessions, Calls(sessions) as calls:
        await _fan_out(calls, targets[:KEPT_HOSTS], call)
        gc.collect()
        before = own.memory_info().rss
        more = targets[KEPT_HOSTS : 2 * KEPT_HOSTS]
        await _fan_out(calls, more, call)
        gc.collect()
        grown = own.memory_info().rss - before
        spent, seconds = time.process_time(), 3.0 if quick else IDLE_SECONDS
        await asyncio.sleep(seconds)
        spent = time.process_time() - spent
    share = spent / seconds / (2 * KEPT_HOSTS)
    return {"kib_per_host": grown / 1024 / len(more), "percent_of_a_core_for_1000": share * 1e5}


async def _behind(jump: Target, targets: list[Target]) -> dict[str, float]:
    """Many hosts behind one whose sshd is as it comes."""
    hidden = [msgspec.structs.replace(each, jump=jump) for each in targets]
    async with Sessions(SETTINGS) as sessions, Calls(sessions) as calls:
        started = time.perf_counter()
        failed = await _fan_out(calls, hidden, far_call(SOURCE))
    return {"seconds": time.perf_counter() - started, "failed": failed}


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure with the loop that a daemon uses, then the peers on the same hosts."""
    names = [f"127.0.{1 + number // 250}.{1 + number % 250}" for number in range(BEHIND)]
    # Each address stands for a host of its own, so the one sshd must let in as many as all would.
    many = ["MaxStartups 2000", BARE]
    with ssh_server(addresses=["0.0.0.0"], options=many) as server, ssh_server() as bastion:
        targets = [server.target(id=name, address=name) for name in names]
        figures = loops.run(lambda: _calls(server, targets[:WARM_HOSTS], quick=quick))
        figures["kept"] = loops.run(lambda: _kept(targets, quick=quick))
        figures["sizes"] = {}
        repeats = int(os.environ.get("BENCH_REPETITIONS", "1" if quick else "3"))
        for size in os.environ.get("BENCH_SIZES", "1,10" if quick else SIZES).split(","):
            told = _size(server, targets[: int(size)], rounds=5 if quick else 20, repeats=repeats)
            figures["sizes"][size] = told
        if not quick:
            jump = bastion.target(id="bastion")
            figures["behind_a_default_bastion"] = loops.run(lambda: _behind(jump, targets))
    return figures


def _size(
    server: SshServer, targets: list[Target], *, rounds: int, repeats: int
) -> dict[str, dict[str, Any]]:
    """dts and the peers on so many hosts; each figure the best of some repetitions in turns."""
    why = missing()
    failed: dict[str, str] = dict.fromkeys(PEERS, why) if why else {}
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(repeats):
        ours = loops.run(lambda: _beside_peers(server, targets, rounds))
        found.setdefault("dts", []).append(ours)
        if why:
            continue
        with tempfile.TemporaryDirectory(prefix="dts-bench-ssh-") as folder:
            told, failed = measure(
                Hosts(server, Path(folder), [each.address for each in targets]), rounds
            )
        for name, each in told.items():
            found.setdefault(name, []).append(each)
    best = {
        name: {key: min(each[key] for each in repetitions) for key in repetitions[0]}
        for name, repetitions in found.items()
    }
    return {"best": best, "not_measured": failed}
