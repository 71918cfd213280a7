"""What machines read: health, figures, the description of the interface; and the sources that workers ask for."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.api.app import endpoints
from dts_core.brokers.base import REQUESTS, Message
from dts_core.codec import decode, encode
from dts_core.daemons.requests import CHUNK, Requests
from dts_core.errors import StoreUnavailable
from dts_core.model import JobError, LogRecord, SourceReply, SourceRequest
from tests.support.server import Server, serve


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as made:
        await made.namespace()
        await made.function()
        yield made


async def test_health_needs_no_token_and_tells_no_inside(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready means a real read of the store and an answer of the broker; a failure is a 503 without details."""
    assert (await server.http.get("/health/live")).json()["status"] == "up"
    ready = await server.http.get("/health/ready")
    assert (ready.status_code, ready.json()["parts"]) == (200, {"store": "up", "broker": "up"})

    async def away() -> None:
        raise StoreUnavailable("/home/ann/.dts is full")

    monkeypatch.setattr(server.store, "ping", away)
    down = await server.http.get("/health/ready")
    assert (down.status_code, down.json()["parts"]["store"]) == (503, "down")
    assert "/home" not in down.text


async def test_a_store_that_hangs_is_not_ready(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe itself has a deadline."""

    async def hangs() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(server.store, "ping", hangs)
    monkeypatch.setattr("dts_core.services.parts.PROBE_SECONDS", 0.05)
    assert (await server.http.get("/health/ready")).status_code == 503


async def test_metrics_are_in_the_text_format_and_count_what_happened(server: Server) -> None:
    """Every line parses; jobs, cache, queues, requests, refused results, memory and lag are there."""
    job = (await server.call("POST", "/jobs", json={"function": "sample/noop"})).json()["id"]
    for _ in range(2):
        await server.call("GET", f"/jobs/{job}")
    await server.run(job)
    server.services.counters.put("dts_loop_lag_seconds", 0.001)
    answer = await server.call("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    pattern = re.compile(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+')
    assert all(pattern.fullmatch(line) for line in lines)
    figures = dict(line.rsplit(" ", 1) for line in lines)
    assert figures['dts_jobs{state="done"}'] == "1"
    assert figures['dts_jobs_finished_total{state="done"}'] == "1"
    assert figures["dts_jobs_submitted_total"] == "1"
    assert figures["dts_job_cache_hits_total"] == "2"
    assert figures["dts_job_cache_hit_ratio"] == "1"
    assert figures["dts_results_refused_total"] == "0"
    assert figures['dts_queue_ready{queue="jobs.default"}'] == "1"
    assert figures['dts_http_requests_total{method="GET",route="/jobs/{id}",status="200"}'] == "2"
    assert float(figures["process_resident_memory_bytes"]) > 1 << 20
    assert int(figures["dts_store_commits"]) > 0


async def test_labels_are_never_a_callers_invention(server: Server) -> None:
    """Unknown paths and methods count under one name: nobody can grow the memory by asking for nonsense."""
    for number in range(5):
        await server.call("GET", f"/nothing/{number}")
        await server.call(f"BREW{number}", "/jobs")
    routes = {
        (dict(labels)["route"], dict(labels)["method"])
        for name, labels, _ in server.services.counters
        if name == "dts_http_requests_total"
    }
    assert routes <= {("none", "GET"), ("none", "other"), ("/jobs", "other")}


async def test_the_description_names_every_route_with_body_and_answer(server: Server) -> None:
    """What /schema says is complete: paths, permissions, bodies, answers, and every reference leads somewhere."""
    document = (await server.call("GET", "/schema", "viewer")).json()
    assert document["openapi"].startswith("3.1")
    for each in endpoints():
        operation = document["paths"][each.path][each.method.lower()]
        assert operation["x-permission"] == each.permission.name.lower()
        assert operation["summary"]
        assert ("requestBody" in operation) == (each.body is not None)
        if each.answer is not None:
            assert "schema" in operation["responses"][str(each.status)]["content"][each.media_type]
        named = {part["name"] for part in operation["parameters"] if part["in"] == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", each.path))
    identities = [
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    ]
    assert len(identities) == len(set(identities))
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', str(document).replace("'", '"')))
    assert references <= document["components"]["schemas"].keys()
    submission = document["components"]["schemas"]["SubmitRequest"]["properties"]
    assert (submission["args"]["type"], submission["kwargs"]["type"]) == ("array", "object")


async def test_the_status_holds_the_whole_dashboard(server: Server) -> None:
    """One answer: jobs by state, hosts, queues, open alarms, the last failures, the parts."""
    failing = (await server.call("POST", "/jobs", json={"function": "sample/noop"})).json()["id"]
    await server.call("POST", "/jobs", json={"function": "sample/noop"})
    await server.fail(failing, JobError(type="ValueError", message="no"))
    status = (await server.call("GET", "/status")).json()
    assert status["engine"] == "embedded"
    assert {state: n for state, n in status["jobs"]["states"].items() if n} == {
        "queued": 1,
        "failed": 1,
    }
    assert [job["id"] for job in status["failed"]] == [failing]
    assert "jobs.default" in {queue["name"] for queue in status["queues"]}
    assert status["components"]["server"] == "up"


async def test_log_lines_of_a_function_are_for_who_sees_its_jobs(server: Server) -> None:
    """A member of the namespace, and the submitter of the very job; a host's own lines are for everybody."""
    await server.namespace("closed", bob="submitter")
    await server.function("closed/noop")
    job = (await server.call("POST", "/jobs", "bob", json={"function": "closed/noop"})).json()["id"]
    now = server.clock.now()
    await server.store.add_logs(
        [
            LogRecord(now, "h1", "/var/log/syslog", 30, "disk full"),
            LogRecord(now, "h1", "job", 20, "secret step", job, "closed/noop"),
        ]
    )

    async def lines(user: str, **params: str) -> list[str]:
        page = (await server.call("GET", "/logs", user, params=params)).json()
        assert page["position"] == 2
        return [line["text"] for line in page["items"]]

    assert await lines("ann") == ["disk full"]
    assert await lines("ann", job=job) == []
    assert await lines("bob") == ["disk full", "secret step"]
    members: dict[str, Any] = {"members": {"ann": "viewer"}}
    await server.call("PATCH", "/admin/namespaces/closed", json=members)
    assert await lines("bob") == ["disk full"]
    assert await lines("bob", job=job) == ["secret step"]
    assert await lines("bob", level="error") == []


async def test_a_worker_gets_a_source_in_chunks(server: Server) -> None:
    """Asked offset by offset, the whole source comes; unknown content is told as such."""
    source = "def main() -> None:\n    pass\n" + "# padding\n" * 80_000
    version = await server.function("sample/large", source)
    requests = Requests(server.broker, server.store, server.clock)
    task = asyncio.create_task(requests.run())
    try:

        async def ask(digest: str, offset: int) -> SourceReply:
            body = encode(SourceRequest(digest, offset))
            answer = await server.broker.request(REQUESTS, Message(body, type="SourceRequest"))
            return decode(answer.body, SourceReply)

        data = b""
        while True:
            reply = await ask(version, len(data))
            assert len(reply.data) <= CHUNK
            data += reply.data
            if len(data) >= reply.total:
                break
        assert hashlib.sha256(data).hexdigest() == version
        assert len(data) > CHUNK
        for unknown in ("0" * 64, "../../etc/passwd", ""):
            assert (await ask(unknown, 0)).total == 0
        assert (await ask(version, 1 << 40)).data == b""
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("collection", ["users", "namespaces", "functions", "vhosts"])
async def test_a_list_with_fields_answers_what_is_described(
    server: Server, collection: str
) -> None:
    """Whichever field is asked for alone: nothing that is not there is said to be always there."""
    machine = {"_id": "web-1", "address": "192.0.2.1", "user": "root"}
    assert (await server.call("POST", "/admin/vhosts", json=machine)).status_code == 201
    told = (await server.call("GET", "/schema")).json()
    answer = told["paths"][f"/admin/{collection}"]["get"]["responses"]["200"]
    components = told["components"]["schemas"]

    def resolved(schema: dict[str, Any]) -> dict[str, Any]:
        name = schema.get("$ref", "").rpartition("/")[2]
        return components[name] if name else schema

    page = resolved(answer["content"]["application/json"]["schema"])
    item = resolved(page["properties"]["items"]["items"])
    for name in item["properties"]:
        found = await server.call("GET", f"/admin/{collection}?fields={name}")
        items = found.json()["items"]
        assert items
        for each in items:
            assert set(item["required"]) <= each.keys() <= {"_id", name}
