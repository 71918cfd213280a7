"""The admin collections with very many documents each: a page, a filter, an order, through HTTP; and memory.

Users, functions and virtual hosts on the embedded store, put into the file of a running `dts up` beside the server.
"""

import asyncio
import hashlib
import statistics
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from benchmarks.processes import Family
from benchmarks.stack import Stack, running
from dts_core.model import Function, FunctionVersion, User, VirtualHost
from dts_core.sqlite import connect
from dts_core.stores.embedded.ordering import sorted_text

START = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK = 5_000
RARE = 1_000
"""One document of so many has the value that a rare filter asks for."""
ROUNDS = 10
PAGES = 100
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "B" * 43
QUERIES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "users": {
        "first page": {"limit": "100"},
        "ids alone": {"limit": "500", "fields": "_id"},
        "prefix": {"prefix": "user_09"},
        "filter common": {"role": "viewer"},
        "filter rare": {"groups": "night"},
        "text none": {"text": "nowhere to be found"},
        "sorted": {"sort": "-updated_at"},
    },
    "functions": {
        "first page": {"limit": "100"},
        "ids alone": {"limit": "500", "fields": "_id"},
        "prefix": {"namespace": "space_07"},
        "filter common": {"owner": "owner_1"},
        "filter rare": {"owner": "seldom"},
        "text none": {"text": "nowhere to be found"},
        "sorted": {"sort": "-updated_at"},
    },
    "vhosts": {
        "first page": {"limit": "100"},
        "ids alone": {"limit": "500", "fields": "_id"},
        "prefix": {"prefix": "node09"},
        "filter common": {"mode": "agent"},
        "filter rare": {"labels": "rare"},
        "text none": {"text": "nowhere to be found"},
        "sorted": {"sort": "-updated_at"},
    },
}


def documents(collection: str, rows: int) -> Iterator[tuple[str, Any]]:
    """(id, document) as a large installation has them."""
    for number in range(rows):
        at = START + timedelta(seconds=number * 7_919 % rows)
        rare = number % RARE == RARE // 2
        times: dict[str, Any] = {"created_at": at, "updated_at": at}
        if collection == "users":
            name = f"user_{number:06}"
            yield name, User(
                id=name, role=("viewer", "submitter")[number % 2], secret_hash="x" * 97, **times,
                address=f"{name}@example.org", groups=["night"] if rare else ["day"],
            )  # fmt: skip
        elif collection == "functions":
            namespace, name = f"space_{number // 1000:02}", f"task_{number:06}"
            version = FunctionVersion(
                hash=hashlib.sha256(name.encode()).hexdigest(), author="ann", created_at=at,
                note="first", size=400, summary="Counts the words of a text.",
            )  # fmt: skip
            yield f"{namespace}/{name}", Function(
                id=f"{namespace}/{name}", namespace=namespace, name=name,
                owner="seldom" if rare else f"owner_{number % 5}", default=version.hash,
                versions=[version], **times,
            )  # fmt: skip
        else:
            name = f"node{number:06}"
            yield name, VirtualHost(
                id=name, address=f"{name}.example.org", user="deploy", auth="key",
                sealed_key=b"x" * 600, public_key=KEY, known_host_key=KEY,
                labels={"rare": "yes"} if rare else {"rack": str(number % 40)},
                mode=("service", "agent")[number % 2], **times,
            )  # fmt: skip


def fill(path: Path, rows: int) -> None:
    """Put them into the store's file, a chunk at a time, so that the server can go on."""
    connection = connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    for collection in QUERIES:
        made = documents(collection, rows)
        for _ in range(0, rows, CHUNK):
            chunk = [
                (collection, doc_id, 1, stored, sorted_text(collection, stored))
                for _, (doc_id, document) in zip(range(CHUNK), made, strict=False)
                for stored in [msgspec.msgpack.encode(document)]
            ]
            with connection:
                connection.executemany(
                    "INSERT INTO documents(collection, id, revision, doc, sorted) VALUES(?,?,?,?,?)",
                    chunk,
                )
    connection.close()


async def timed(http: httpx.AsyncClient, collection: str, asked: Mapping[str, str]) -> Any:
    """Milliseconds of one query: median and greatest of ROUNDS; and how many documents it gave."""
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        answer = await http.get(f"/admin/{collection}", params=dict(asked))
        took.append((time.perf_counter() - started) * 1000)
        if answer.status_code != 200:
            return {"refused": answer.json()["detail"]}
    return {
        "ms_median": statistics.median(took),
        "ms_max": max(took),
        "items": len(answer.json()["items"]),
    }


async def memory(stack: Stack, http: httpx.AsyncClient) -> dict[str, Any]:
    """MiB of the server before and after PAGES pages, in every order."""
    family = Family(stack.process.pid, alone=True)
    before = family.rss()
    for collection in QUERIES:
        cursor = ""
        for number in range(PAGES):
            asked = {"limit": "500", "cursor": cursor}
            answer = await http.get(f"/admin/{collection}", params=asked)
            if answer.status_code != 200:
                raise RuntimeError(f"page {number} of {collection}: {answer.text}")
            cursor = answer.json()["next"]
            if number % 10 == 0:
                await http.get(f"/admin/{collection}", params=QUERIES[collection]["sorted"])
    after = family.rss()
    return {
        "before_mib": before / (1 << 20),
        "after_mib": after / (1 << 20),
        "grown_mib": (after - before) / (1 << 20),
        "pages": PAGES * len(QUERIES),
    }


async def measure(*, quick: bool) -> dict[str, Any]:
    """Everything, on one stack."""
    rows = 5_000 if quick else 100_000
    async with running("--no-worker", workers=0) as stack:
        await asyncio.to_thread(fill, stack.folder / "dts.db", rows)
        figures: dict[str, Any] = {"documents_each": rows}
        headers = {"Authorization": f"Bearer {stack.client.token}"}
        async with httpx.AsyncClient(
            base_url=stack.client.url, timeout=60, headers=headers
        ) as http:
            for collection, queries in QUERIES.items():
                figures[collection] = {
                    name: await timed(http, collection, asked) for name, asked in queries.items()
                }
            figures["memory"] = await memory(stack, http)
    return figures


def run(*, quick: bool = False) -> dict[str, Any]:
    """Measure."""
    return asyncio.run(measure(quick=quick))
