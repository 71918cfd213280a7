"""Bad input over HTTP: the right status, one line with advice, nothing written."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.settings import ServerSettings
from tests.support.server import ADD, Server, serve

JSON = {"Content-Type": "application/json"}
HUGE = json.dumps({"function": "sample/noop", "args": ["x" * (2 << 20)]}).encode()
DEEP = b'{"function":"sample/any","args":[' + b"[" * 40 + b"]" * 40 + b"]}"
BAD: dict[str, tuple[bytes, int, str]] = {
    "no such function": (b'{"function":"sample/nothing"}', 404, "sample/nothing"),
    "not a name": (b'{"function":"Sample"}', 422, "namespace/name"),
    "arguments that do not fit": (
        b'{"function":"sample/add","args":["x"]}',
        422,
        "expected an integer",
    ),
    "true is no integer": (b'{"function":"sample/add","args":[true]}', 422, "expected an integer"),
    "missing argument": (b'{"function":"sample/add"}', 422, "missing a required argument"),
    "unknown argument": (
        b'{"function":"sample/add","args":[1],"kwargs":{"z":1}}',
        422,
        "unexpected",
    ),
    "args no list": (b'{"function":"sample/add","args":{}}', 422, "array"),
    "broken JSON": (b'{"function":"sample/noop",', 400, "JSON"),
    "broken JSON inside": (b'{"function":"sample/add","args":[1,,2]}', 400, "byte"),
    "no JSON at all": (b"\xff\xfe", 400, "JSON"),
    "empty": (b"", 400, "empty"),
    "unknown field": (b'{"function":"sample/noop","colour":1}', 422, "colour"),
    "wrong type": (b'{"function":"sample/noop","priority":"high"}', 422, "priority"),
    "out of bounds": (b'{"function":"sample/noop","priority":10}', 422, "between 0 and 9"),
    "not a number": (b'{"function":"sample/noop","retries":1.5}', 422, "retries"),
    "naive start": (b'{"function":"sample/noop","start_at":"2030-01-01T00:00:00"}', 422, "zone"),
    "queue and host": (b'{"function":"sample/noop","queue":"q","host":"h"}', 422, "not both"),
    "foreign queue": (b'{"function":"sample/noop","queue":"dts"}', 422, "queue"),
    "no such version": (b'{"function":"sample/noop","version":"abc"}', 422, "version"),
    "a huge name": (b'{"function":"' + b"x" * (2 << 20) + b'"}', 413, "bytes"),
    "two megabytes": (HUGE, 413, "bytes"),
    "too deep": (DEEP, 422, "deeper"),
    "no jobs": (b'{"jobs":[]}', 422, "jobs"),
    "too many jobs": (b'{"jobs":[' + b'{"function":"sample/noop"},' * 1000 + b"{}]}", 422, "jobs"),
    "a list": (b"[]", 422, "object"),
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path, settings=ServerSettings(body_max=4 << 20)) as made:
        await made.namespace()
        await made.function()
        await made.function("sample/add", ADD)
        await made.function("sample/any", "def main(value):\n    return value\n")
        yield made


def problem_of(answer: Any, status: int) -> dict[str, Any]:
    """The problem of a refusal, checked for its form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert "\n" not in problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_submission_is_refused_in_one_line(server: Server, what: str) -> None:
    """Status, one line that names the fault, and nothing in the store or the queue."""
    body, status, word = BAD[what]
    answer = await server.call("POST", "/jobs", "ann", content=body, headers=JSON)
    problem = problem_of(answer, status)
    assert word in problem["detail"] + problem["advice"] + str(problem["fields"])
    assert sum((await server.store.count_jobs()).states.values()) == 0
    assert all(each.ready == 0 for each in await server.broker.stats())
    assert len(server.services.jobs.cache) == 0


async def test_another_content_than_json_is_refused(server: Server) -> None:
    """A form that a browser could send from anywhere is no request of ours."""
    answer = await server.call("POST", "/jobs", "ann", data={"function": "sample/noop"})
    assert "application/json" in problem_of(answer, 415)["advice"]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_refused_before_it_is_read(
    server: Server, announced: bool
) -> None:
    """With a Content-Length nothing is read; without one, no more than the limit."""
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(64):
            taken += 1 << 20
            yield b" " * (1 << 20)

    headers = {**JSON, **({"Content-Length": str(64 << 20)} if announced else {})}
    answer = await server.call("POST", "/jobs", "ann", content=chunks(), headers=headers)
    problem_of(answer, 413)
    assert taken <= (0 if announced else 6 << 20)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/jobs?limit=0", "limit"),
        ("/jobs?limit=501", "limit"),
        ("/jobs?state=finished", "state"),
        ("/jobs?colour=red", "colour"),
        ("/jobs?since=yesterday", "since"),
        ("/jobs?since=1700000000", "since"),
        ("/jobs?order=best", "order"),
        ("/logs?level=loud", "level"),
        ("/hosts/h/samples?seconds=-1", "seconds"),
        ("/stream?topics=jobs,weather", "topics"),
        ("/jobs/x?wait=61", "wait"),
    ],
)
async def test_a_wrong_query_names_its_parameter(server: Server, path: str, field: str) -> None:
    """A filter that is misspelt must not quietly filter nothing."""
    problem = problem_of(await server.call("GET", path, "ann"), 422)
    assert field in problem["fields"]


async def test_a_bad_resume_id_is_refused(server: Server) -> None:
    """Last-Event-ID is a position of ours or nothing."""
    answer = await server.call("GET", "/stream", "ann", headers={"Last-Event-ID": "latest"})
    assert "Last-Event-ID" in problem_of(answer, 422)["fields"]


async def test_unknown_paths_and_methods_are_problems_too(server: Server) -> None:
    """No answer of the framework's own making gets out."""
    assert problem_of(await server.call("GET", "/nothing/here", "ann"), 404)["code"] == "not_found"
    answer = await server.call("PUT", "/jobs", "ann")
    assert problem_of(answer, 405)["code"] == "method_not_allowed"
    assert "POST" in answer.headers["allow"]


async def test_a_defect_shows_its_id_and_nothing_else(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 with the request's id; what broke is for the log only."""

    async def broken(*_: object) -> None:
        raise RuntimeError("secret inside")

    await server.token("ann")
    monkeypatch.setattr(server.services.hosts, "all", broken)
    answer = await server.call("GET", "/hosts", "ann", headers={"X-Request-Id": "mine-1"})
    problem = problem_of(answer, 500)
    assert problem["request_id"] == "mine-1"
    assert "secret" not in answer.text
    assert "mine-1" in problem["advice"]


async def test_an_odd_request_id_is_replaced(server: Server) -> None:
    """What a caller sends goes into logs and headers only when it is plain."""
    answer = await server.call("GET", "/jobs", "ann", headers={"X-Request-Id": "a b\x1b[2J"})
    assert answer.headers["x-request-id"].isalnum()


async def test_every_answer_carries_the_security_headers(server: Server) -> None:
    """Also refusals; and no page of another origin is let in."""
    for path in ("/jobs", "/nothing"):
        answer = await server.call("GET", path, "ann", headers={"Origin": "https://elsewhere"})
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


async def test_a_store_that_is_away_is_a_503_that_may_be_tried_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a 201 without a commit; the cache forgets what was not accepted."""
    from dts_core.errors import StoreUnavailable

    async def away(*_: object, **__: object) -> list[str]:
        raise StoreUnavailable("the disk of the data folder is full.", advice="Make room.")

    await server.token("ann")
    monkeypatch.setattr(server.services.jobs._intake, "accept", away)
    answer = await server.call("POST", "/jobs", "ann", json={"function": "sample/noop"})
    problem = problem_of(answer, 503)
    assert (problem["advice"], answer.headers["retry-after"]) == ("Make room.", "1")
    assert len(server.services.jobs.cache) == 0


def test_the_limit_of_a_single_submission_is_below_two_megabytes() -> None:
    """The 2 MB body above is refused by the rule of single submissions, not by the limit of all bodies."""
    assert len(HUGE) < 4 << 20
