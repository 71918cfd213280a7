"""The console on a collection of 100,000 documents: what paging through all of it costs it, and how quick keys stay.

The server is a stand-in in the same process that makes each page as it is asked for: only the console is measured.
"""

import asyncio
import gc
import time
from typing import Any

import httpx
import psutil
from textual import events

from benchmarks.figures import percentile
from dts_core.clients import AdminClient

DOCUMENTS, QUICK = 100_000, 5_000
SIZE = (160, 48)
MIB = 1 << 20
WARM_PAGES = 20
_STAMP = "2026-03-01T12:00:00Z"
_STATUS = {
    "version": "0", "engine": "embedded", "at": _STAMP, "started_at": _STAMP,
    "jobs": {"states": {}, "done_last_minute": 0, "failed_last_hour": 0},
    "hosts": [], "queues": [], "alarms": [], "failed": [], "components": {}, "parts": [],
}  # fmt: skip
_FIELDS = (("_id", "text"), ("description", "text"), ("members", "mapping"))


class _Server(httpx.AsyncBaseTransport):
    def __init__(self, documents: int) -> None:
        self._documents = documents
        self.pages = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        path, query = request.url.path, dict(request.url.params)
        if path == "/stream":
            await asyncio.Event().wait()
        return httpx.Response(200, json=self._answer(path, query))

    def _answer(self, path: str, query: dict[str, str]) -> Any:
        if path == "/session":
            return {"user": "admin", "role": "admin"}
        if path == "/admin/schema":
            fields = [{"name": name, "kind": "keyword", "type": kind} for name, kind in _FIELDS]
            told = {"name": "namespaces", "one": "namespace", "filters": [], "sorts": ["_id"]}
            return {"items": [told | {"fields": fields}]}
        if path == "/admin/namespaces":
            return self._page(query)
        return _STATUS

    def _page(self, query: dict[str, str]) -> Any:
        self.pages += 1
        wanted = [
            number
            for number in range(self._documents)
            if query.get("text", "") in f"ns{number:06d}"
        ] if query.get("text") else range(self._documents)  # fmt: skip
        at, limit = int(query.get("cursor") or 0), int(query["limit"])
        items = [_document(number) for number in wanted[at : at + limit]]
        return {"items": items, "next": str(at + limit) if at + limit < len(wanted) else ""}


def _document(number: int) -> dict[str, Any]:
    return {
        "_id": f"ns{number:06d}", "description": f"What the {number}th namespace is for",
        "members": {"anna": "submitter", "*": "viewer"}, "revision": 1,
        "created_at": _STAMP, "updated_at": _STAMP,
    }  # fmt: skip


async def _press(console: Any, view: Any, until: Any) -> tuple[float, float]:
    """One line up: seconds from the key to the drawing that follows it, and of them on the processor."""
    before = view.rows.cursor
    event = events.Key("k", "k")
    event.set_sender(console)
    pressed, busy = time.perf_counter(), time.process_time()
    console._driver.send_message(event)
    await until(lambda: view.rows.cursor != before and view.table._strips is not None)
    return time.perf_counter() - pressed, time.process_time() - busy


async def _walk(documents: int) -> dict[str, Any]:
    from dts_tui.app import Console

    server = _Server(documents)
    console = Console(lambda: AdminClient("http://bench", "token", http_transport=server))
    process = psutil.Process()
    async with console.run_test(size=SIZE):

        async def until(holds: Any) -> None:
            end = time.monotonic() + 60
            while not holds():
                if time.monotonic() > end:
                    raise TimeoutError("the console did not come so far")
                await asyncio.sleep(0.001)

        await until(lambda: console.world.role != "")
        began = time.monotonic()
        console.run_named("namespaces")
        view: Any = None
        await until(lambda: getattr(console.view, "listed", "") == "namespaces")
        view = console.view
        await until(lambda: view.rows.items)
        first = time.monotonic() - began
        keys: list[tuple[float, float]] = []
        last, base = f"ns{documents - 1:06d}", 0
        began = time.monotonic()
        view.do_bottom()
        await until(lambda: server.pages > 1)
        while last not in view.rows.items:
            known = server.pages
            keys.append(await _press(console, view, until))
            view.do_bottom()
            await until(lambda known=known: server.pages > known or last in view.rows.items)
            if server.pages == WARM_PAGES:
                gc.collect()
                base = process.memory_info().rss
        paged = time.monotonic() - began
        gc.collect()
        grown = process.memory_info().rss - base
        began = time.monotonic()
        view.set_filter(f"ns{documents - 1:06d}"[:8])
        await until(lambda: last in view.rows.items and len(view.rows.items) <= 1)
        filtered = time.monotonic() - began
    shown, busy = [each for each, _ in keys], [each for _, each in keys]
    return {
        "documents": documents,
        "pages": server.pages,
        "first_page_ms": first * 1000,
        "filter_ms_with_the_pause_of_200": filtered * 1000,
        "paged_through_seconds": paged,
        "key_ms_p50": percentile(shown, 0.5) * 1000,
        "key_ms_p99": percentile(shown, 0.99) * 1000,
        "key_processor_ms_p50": percentile(busy, 0.5) * 1000,
        "key_processor_ms_p99": percentile(busy, 0.99) * 1000,
        "key_processor_ms_p50_last_tenth": percentile(busy[-len(busy) // 10 :], 0.5) * 1000,
        "resident_mib": process.memory_info().rss / MIB,
        "grown_mib_after_20_pages": grown / MIB,
        "rows_kept": len(view.rows.items),
    }


def run(*, quick: bool = False) -> dict[str, Any]:
    """Figures of one walk from the first document to the last."""
    return asyncio.run(_walk(QUICK if quick else DOCUMENTS))
