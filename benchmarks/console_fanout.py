"""The console on a fan-out of 500 hosts with 10,000 lines each, while they end: how quick keys stay, what it holds.

The server is a stand-in in the same process that makes each answer as it is asked for; what it takes itself counts
against the console.
"""

import asyncio
import gc
import hashlib
import time
from functools import lru_cache
from typing import Any

import httpx
import psutil
from textual import events

from benchmarks.figures import percentile
from dts_core.clients import AdminClient

HOSTS, QUICK = 500, 60
LINES = 10_000
KEYS, QUICK_KEYS = 250, 60
ENDS_EVERY_SECOND = 50
ANSWERS = 5
"""Hosts answer in so many ways."""
SIZE = (160, 48)
MIB = 1 << 20
JOB = "01JD00000001ABCDEFGHIJKLMN"
_STAMP = "2026-03-01T12:00:00Z"
_STATUS = {
    "version": "0", "engine": "embedded", "at": _STAMP, "started_at": _STAMP,
    "jobs": {"states": {}, "done_last_minute": 0, "failed_last_hour": 0},
    "hosts": [], "queues": [], "alarms": [], "failed": [], "components": {}, "parts": [],
}  # fmt: skip


class _Server(httpx.AsyncBaseTransport):
    def __init__(self, hosts: int) -> None:
        self._hosts = [f"web-{number}" for number in range(1, hosts + 1)]
        self._began = time.monotonic()
        self.outputs = 0

    def begin(self) -> None:
        self._began = time.monotonic()

    @property
    def ended(self) -> int:
        """Hosts that have ended by now."""
        seconds = time.monotonic() - self._began
        return min(int(seconds * ENDS_EVERY_SECOND), len(self._hosts))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        path, query = request.url.path, dict(request.url.params)
        if path == "/stream":
            await asyncio.Event().wait()
        return httpx.Response(200, json=self._answer(path, query))

    def _answer(self, path: str, query: dict[str, str]) -> Any:
        if path == "/session":
            return {"user": "admin", "role": "admin"}
        if path == f"/jobs/{JOB}":
            return self._job()
        if path.endswith("/output"):
            self.outputs += 1
            host = path.split("/")[-2]
            return self._run(self._hosts.index(host)) | {"stdout": _text(_way(host))}
        if path.endswith("/hosts"):
            return self._list(query)
        return _STATUS

    def _job(self) -> dict[str, Any]:
        return {
            "id": JOB, "function": "dts/sshrpc", "version": "", "state": "running",
            "submitter": "admin", "created_at": _STAMP, "started_at": _STAMP,
            "kwargs": {"hosts": self._hosts, "argv": ["journalctl"], "at_once": 64},
        }  # fmt: skip

    def _list(self, query: dict[str, str]) -> dict[str, Any]:
        total = len(self._hosts)
        if "after" in query:
            items = [self._run(at) for at in range(int(query["after"]), self.ended)]
            following = 0
        else:
            start, limit = int(query.get("start", 0)), int(query["limit"])
            items = [self._run(at) for at in range(start, min(start + limit, total))]
            following = start + limit if start + limit < total else 0
        position = max((each["seq"] for each in items), default=int(query.get("after", 0)))
        return {
            "items": items, "total": total, "counts": {}, "position": position, "next": following,
            "job_state": "running", "is_over": self.ended == total,
        }  # fmt: skip

    def _run(self, at: int) -> dict[str, Any]:
        host = self._hosts[at]
        if at >= self.ended:
            return {"host": host, "state": "running", "seq": 0, "started_at": _STAMP}
        return {
            "host": host, "state": "ok", "seq": at + 1, "exit_status": 0, "started_at": _STAMP,
            "finished_at": _STAMP, "group": hashlib.sha256(b"%d" % _way(host)).hexdigest(),
            "output_total": len(_text(_way(host))),
        }  # fmt: skip


def _way(host: str) -> int:
    return int(host.removeprefix("web-")) % ANSWERS


@lru_cache(maxsize=ANSWERS)
def _text(way: int) -> str:
    return "".join(
        f"{line:05d} answer {way}: unit app-{line % 97}.service started, took {line % 13} ms\n"
        for line in range(LINES)
    )


class _Keys:
    """Presses keys, and measures from each to the drawing that follows it."""

    def __init__(self, console: Any) -> None:
        self._console = console
        self.shown: list[float] = []
        self.busy: list[float] = []

    async def press(self, key: str, widget: Any) -> None:
        event = events.Key(key, key if len(key) == 1 else None)
        event.set_sender(self._console)
        widget._strips = None
        widget.redraw()
        await _until(lambda: widget._strips is not None)
        drawn = widget._strips
        pressed, busy = time.perf_counter(), time.process_time()
        self._console._driver.send_message(event)
        await _until(lambda: widget._strips is not None and widget._strips is not drawn)
        self.shown.append(time.perf_counter() - pressed)
        self.busy.append(time.process_time() - busy)


async def _until(holds: Any) -> None:
    end = time.monotonic() + 60
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError("the console did not come so far")
        await asyncio.sleep(0.001)


def _resident(process: psutil.Process) -> float:
    gc.collect()
    return float(process.memory_info().rss / MIB)


async def _walk(hosts: int, presses: int) -> dict[str, Any]:
    from dts_tui.app import Console
    from dts_tui.screens.base import Place

    server = _Server(hosts)
    console = Console(lambda: AdminClient("http://bench", "token", http_transport=server))
    process = psutil.Process()
    async with console.run_test(size=SIZE):
        await _until(lambda: console.world.role != "")
        for way in range(ANSWERS):
            _text(way)
        base = _resident(process)
        server.begin()
        began = time.monotonic()
        console.go(Place("board", JOB))
        await _until(lambda: getattr(getattr(console.view, "fan", None), "complete", False))
        opened = time.monotonic() - began
        board: Any = console.view
        live, listed, read = _Keys(console), _Keys(console), _Keys(console)
        for at in range(presses):
            await live.press("j" if at % 20 < 10 else "k", board.group_table)
            await asyncio.sleep(0.01)
        console.run_named("next-tab")
        await _until(lambda: board.host_table.has_focus)
        for _ in range(presses):
            await listed.press("j", board.host_table)
        await _until(lambda: board.fan.is_over)
        await _until(lambda: len(board.fan.groups()) == min(ANSWERS, hosts))
        told = sum(len(each.views) for each in board.fan.groups())
        console.run_named("open")
        await _until(lambda: getattr(console.view, "answer", None) is not None)
        page: Any = console.view
        for at in range(presses):
            await read.press(("j", "ctrl+d", "G", "k", "g")[at % 5], page.output)
        lines = len(page.output.lines)
        grown = _resident(process) - base
    return {
        "hosts": hosts,
        "lines_of_each": LINES,
        "opened_ms": opened * 1000,
        "keys": len(live.shown) + len(listed.shown) + len(read.shown),
        **_told("groups_while_hosts_end", live),
        **_told("list_of_hosts", listed),
        **_told("one_hosts_output", read),
        "hosts_told_of": told,
        "lines_told_of": lines,
        "outputs_asked_for": server.outputs,
        "grown_mib": grown,
    }


def _told(name: str, keys: _Keys) -> dict[str, Any]:
    told = {"ms": keys.shown, "processor_ms": keys.busy}
    return {
        name: {
            f"key_{kind}_{label}": percentile(seconds, share) * 1000
            for kind, seconds in told.items()
            for label, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))
        }
    }


def run(*, quick: bool = False) -> dict[str, Any]:
    """Figures of one walk over a board, from the first host's end to the last."""
    return asyncio.run(_walk(QUICK if quick else HOSTS, QUICK_KEYS if quick else KEYS))
