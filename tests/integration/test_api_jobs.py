"""Jobs over HTTP: submitted once, found again, waited for, stopped, seen by the right people only."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.brokers.base import CONTROL, Delivery, Message
from dts_core.codec import decode
from dts_core.model import Cancel, Change, JobMessage, Transition
from dts_core.names import new_id
from dts_core.states import JobEvent
from dts_core.testing import ManualClock, wait_until
from tests.support.server import ADD, Server, serve


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as made:
        await made.namespace()
        await made.function()
        await made.function("sample/add", ADD)
        yield made


async def submit(server: Server, user: str = "ann", **fields: Any) -> dict[str, Any]:
    answer = await server.call("POST", "/jobs", user, json={"function": "sample/noop", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_submission_is_stored_and_its_message_published(server: Server) -> None:
    """201 means: the record stands in the store, and the invitation waits in the queue."""
    made = await submit(server, function="sample/add", args=[1], kwargs={"b": 2}, priority=3)
    assert (made["state"], made["args"], made["kwargs"]) == ("queued", [1], {"b": 2})
    stored = await server.store.get_job(made["id"])
    assert stored is not None
    assert (stored.state, stored.submitter, stored.args) == ("queued", "ann", b"[1]")
    taken: list[Delivery] = []
    await server.broker.consume("jobs.default", taken.extend, prefetch=5)
    await wait_until(lambda: bool(taken))
    message = decode(taken[0].message.body, JobMessage)
    assert (message.id, message.args, message.kwargs) == (made["id"], b"[1]", b'{"b":2}')
    assert (taken[0].message.priority, taken[0].epoch) == (3, 1)


async def test_a_batch_is_accepted_as_a_whole_in_order(server: Server) -> None:
    """Ids come back in the order of the submissions, and every job stands in the store."""
    batch = [{"function": "sample/add", "args": [number]} for number in range(50)]
    answer = await server.call("POST", "/jobs", "ann", json={"jobs": batch})
    ids = answer.json()["ids"]
    stored = await server.store.get_jobs(ids)
    assert [job.args for job in stored] == [f"[{number}]".encode() for number in range(50)]


async def test_one_wrong_job_refuses_the_whole_batch(server: Server) -> None:
    """All or none: the answer names the job and its field, and nothing is written."""
    batch = [{"function": "sample/add", "args": [1]}, {"function": "sample/add", "args": ["x"]}]
    answer = await server.call("POST", "/jobs", "ann", json={"jobs": batch})
    assert answer.status_code == 422
    assert answer.json()["fields"] == {"jobs[1].a": 'expected an integer, got "x"'}
    assert sum((await server.store.count_jobs()).states.values()) == 0


async def test_two_users_have_exactly_their_own_records(server: Server) -> None:
    """GET /session counts and lists what this user submitted, newest first, and nothing of others."""
    of_ann = [(await submit(server, "ann"))["id"] for _ in range(3)]
    of_bob = [(await submit(server, "bob"))["id"] for _ in range(2)]
    await server.run(of_ann[0])
    for user, ids, counts in (
        ("ann", of_ann, {"queued": 2, "done": 1}),
        ("bob", of_bob, {"queued": 2}),
    ):
        record = (await server.call("GET", "/session", user)).json()
        assert record["user"] == user
        assert [job["id"] for job in record["recent"]] == ids[::-1]
        assert {state: n for state, n in record["counts"].items() if n} == counts


async def test_a_second_get_of_a_finished_job_reads_no_store(server: Server) -> None:
    """The cache answers, with the result, and the hit is counted."""
    job = (await submit(server))["id"]
    await server.run(job, b'{"words":3}')
    first = (await server.call("GET", f"/jobs/{job}", "ann")).json()
    server.store.reads.clear()
    hits = server.services.counters.value("dts_job_cache_hits_total")
    second = (await server.call("GET", f"/jobs/{job}", "ann")).json()
    assert first == second
    assert second["result"] == {"words": 3}
    assert server.store.reads == []
    assert server.services.counters.value("dts_job_cache_hits_total") == hits + 1


async def test_a_cached_job_is_shown_to_nobody_who_may_not_see_it(server: Server) -> None:
    """The owner is checked on the cached entry: another's job does not exist."""
    await server.namespace("closed", ann="submitter")
    await server.function("closed/noop")
    job = (await submit(server, "ann", function="closed/noop"))["id"]
    await server.run(job)
    assert (await server.call("GET", f"/jobs/{job}", "ann")).status_code == 200
    for user in ("bob", "operator"):
        for method, path in (
            ("GET", f"/jobs/{job}"),
            ("GET", f"/jobs/{job}/attempts"),
            ("POST", f"/jobs/{job}/cancel"),
            ("POST", f"/jobs/{job}/again"),
        ):
            answer = await server.call(method, path, user, json={} if method == "POST" else None)
            assert answer.status_code == 404, (user, path)
        assert (await server.call("GET", "/jobs", user)).json()["items"] == []
    assert (await server.call("GET", f"/jobs/{job}", "root")).status_code == 200


async def test_the_cache_never_shows_a_state_older_than_one_heard_of(server: Server) -> None:
    """Another part's announcement makes the next answer read the store."""
    job = (await submit(server))["id"]
    now = server.clock.now()
    claim = Transition(id=job, event=JobEvent.CLAIM, at=now, host="h", worker="w", lease_until=now)
    outcome = (await server.store.apply([claim]))[0]
    assert (await server.call("GET", f"/jobs/{job}", "ann")).json()[
        "state"
    ] == "queued"  # not heard yet
    await server.services.bus.publish([Change("jobs", job, "running", outcome.position, 1)])
    assert (await server.call("GET", f"/jobs/{job}", "ann")).json()["state"] == "running"


async def test_an_unfinished_record_is_looked_up_again_after_a_second(tmp_path: Path) -> None:
    """An announcement that was lost delays the truth by a second, no longer."""
    clock = ManualClock()
    async with serve(tmp_path, clock=clock) as server:
        await server.namespace()
        await server.function()
        job = (await submit(server))["id"]
        await server.store.apply([Transition(id=job, event=JobEvent.CANCEL, at=clock.now())])
        assert (await server.call("GET", f"/jobs/{job}", "ann")).json()["state"] == "queued"
        clock.advance(1.0)
        assert (await server.call("GET", f"/jobs/{job}", "ann")).json()["state"] == "cancelled"


@pytest.mark.parametrize("announced", [True, False])
async def test_a_long_poll_answers_when_the_job_has_ended(
    server: Server, announced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once when the end is announced; after a look at the store when the announcement was lost."""
    if announced:
        monkeypatch.setattr("dts_core.services.jobs.RECHECK_SECONDS", 60.0)
    job = (await submit(server))["id"]
    polling = asyncio.create_task(server.call("GET", f"/jobs/{job}?wait=60", "ann"))
    await wait_until(lambda: len(server.services.jobs.waiters) == 1)
    if announced:
        await server.run(job)
    else:
        await server.store.apply([Transition(id=job, event=JobEvent.CANCEL, at=server.clock.now())])
    answer = (await asyncio.wait_for(polling, 30)).json()
    assert answer["state"] == ("done" if announced else "cancelled")
    assert len(server.services.jobs.waiters) == 0


async def test_a_submission_with_wait_answers_with_the_result(server: Server) -> None:
    """POST /jobs?wait= gives the value in the same answer."""
    polling = asyncio.create_task(
        server.call("POST", "/jobs?wait=60", "ann", json={"function": "sample/noop"})
    )
    await wait_until(lambda: len(server.services.jobs.waiters) == 1)
    page = (await server.call("GET", "/jobs", "ann")).json()
    await server.run(page["items"][0]["id"], b"[1,2]")
    answer = await asyncio.wait_for(polling, 30)
    assert (answer.status_code, answer.json()["state"], answer.json()["result"]) == (
        201,
        "done",
        [1, 2],
    )


async def test_a_wait_that_runs_out_answers_with_the_current_state(server: Server) -> None:
    """The time of a long poll is bounded by its own parameter."""
    answer = await server.call("POST", "/jobs?wait=0.05", "ann", json={"function": "sample/noop"})
    assert (answer.status_code, answer.json()["state"]) == (201, "queued")


async def test_draining_lets_long_polls_go(server: Server) -> None:
    """A server that stops answers who waits instead of cutting them off."""
    job = (await submit(server))["id"]
    polling = asyncio.create_task(server.call("GET", f"/jobs/{job}?wait=60", "ann"))
    await wait_until(lambda: len(server.services.jobs.waiters) == 1)
    server.services.drain()
    answer = await asyncio.wait_for(polling, 30)
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")


async def test_the_same_request_with_the_same_key_is_one_job(server: Server) -> None:
    """A client that did not hear the answer may send it again: same ids, nothing stored twice."""
    headers = {"Idempotency-Key": "k1"}
    body = {"jobs": [{"function": "sample/noop"}] * 3}
    first = await server.call("POST", "/jobs", "ann", json=body, headers=headers)
    again = await server.call("POST", "/jobs", "ann", json=body, headers=headers)
    assert first.json() == again.json()
    assert (await server.store.count_jobs()).states["queued"] == 3
    single = {"function": "sample/noop"}
    one = await server.call("POST", "/jobs", "ann", json=single, headers={"Idempotency-Key": "k2"})
    two = await server.call("POST", "/jobs", "ann", json=single, headers={"Idempotency-Key": "k2"})
    assert one.json()["id"] == two.json()["id"]
    assert (await server.call("GET", f"/jobs/{one.json()['id']}", "ann")).status_code == 200


async def test_a_key_used_for_another_request_is_a_conflict(server: Server) -> None:
    """The key stands for one request; another body with it is refused, another user's key is another key."""
    headers = {"Idempotency-Key": "k1"}
    await server.call("POST", "/jobs", "ann", json={"function": "sample/noop"}, headers=headers)
    other = {"function": "sample/add", "args": [1]}
    answer = await server.call("POST", "/jobs", "ann", json=other, headers=headers)
    assert answer.status_code == 409
    assert answer.json()["advice"]
    answer = await server.call("POST", "/jobs", "bob", json=other, headers=headers)
    assert answer.status_code == 201


async def test_cancel_stops_what_waits_and_tells_workers_of_what_runs(server: Server) -> None:
    """A queued job is cancelled at once, a running one is being stopped, a finished one is left alone."""
    heard: list[Message] = []
    await server.broker.subscribe(CONTROL, heard.append)
    queued, running, done = [(await submit(server))["id"] for _ in range(3)]
    await server.run(done)
    now = server.clock.now()
    claim = Transition(
        id=running, event=JobEvent.CLAIM, at=now, host="h", worker="w", lease_until=now
    )
    await server.apply([claim])
    answer = await server.call(
        "POST", "/jobs/cancel", "ann", json={"ids": [queued, running, done, "nothing"]}
    )
    items = [(each["state"], each["applied"]) for each in answer.json()["items"]]
    assert items == [("cancelled", True), ("cancelling", True), ("done", False), ("", False)]
    await wait_until(lambda: bool(heard))
    assert decode(heard[0].body, Cancel) == Cancel(running, "ann")
    shown = (await server.call("GET", f"/jobs/{queued}", "ann")).json()
    assert (shown["state"], shown["cancelled_by"]) == ("cancelled", "ann")


async def test_another_members_job_is_stopped_by_operators_only(server: Server) -> None:
    """A member sees the job and gets a 403 that says what is missing."""
    job = (await submit(server, "ann"))["id"]
    refused = await server.call("POST", f"/jobs/{job}/cancel", "bob")
    assert refused.status_code == 403
    assert "bob" in refused.json()["detail"]
    assert "operator" in refused.json()["detail"]
    batch = await server.call("POST", "/jobs/cancel", "bob", json={"ids": [job]})
    assert batch.json()["items"][0]["applied"] is False
    assert (await server.call("POST", f"/jobs/{job}/cancel", "operator")).json()["applied"] is True


async def test_running_again_keeps_or_renews_the_version(server: Server) -> None:
    """`same` runs the job's own version, `default` the one of now; both name their origin."""
    former = await submit(server, "ann", function="sample/add", args=[1], priority=2)
    source = "def main(a: int) -> int:\n    return a\n"
    body = {"source": source, "revision": 1}
    written = (await server.call("PATCH", "/admin/functions/sample/add", json=body)).json()
    same = (await server.call("POST", f"/jobs/{former['id']}/again", "ann", json={})).json()
    body = {"version": "default"}
    new = (await server.call("POST", f"/jobs/{former['id']}/again", "bob", json=body)).json()
    assert (same["version"], new["version"]) == (former["version"], written["version"])
    assert {same["again_of"], new["again_of"]} == {former["id"]}
    assert (same["submitter"], new["submitter"]) == ("ann", "bob")
    assert (same["args"], same["priority"], same["state"]) == ([1], 2, "queued")


async def test_running_again_twice_with_one_key_is_one_job(server: Server) -> None:
    """A client that did not hear the answer sends the same request again; the key is of this job alone."""
    one, two = [(await submit(server))["id"] for _ in range(2)]
    headers = {"Idempotency-Key": "k1"}
    path = f"/jobs/{one}/again"
    first = await server.call("POST", path, "ann", json={}, headers=headers)
    again = await server.call("POST", path, "ann", json={}, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    other = await server.call("POST", f"/jobs/{two}/again", "ann", json={}, headers=headers)
    assert other.status_code == 409
    assert (await server.store.count_jobs()).states["queued"] == 3


async def test_a_later_start_is_scheduled_without_a_message(server: Server) -> None:
    """Nothing delayed waits in a queue; its expiry counts from its start."""
    made = await submit(server, delay_seconds=60, expires_seconds=30)
    assert made["state"] == "scheduled"
    stored = await server.store.get_job(made["id"])
    assert stored is not None
    assert stored.due_at is not None
    assert stored.expires_at is not None
    assert (stored.expires_at - stored.due_at).total_seconds() == 30
    ready = {each.name: each.ready for each in await server.broker.stats()}
    assert ready["jobs.default"] == 0


async def test_a_new_version_is_taken_by_the_very_next_submission(server: Server) -> None:
    """A write is heard at once: no submission gets the old default after its answer."""
    first = await submit(server)
    body = {"source": "def main() -> int:\n    return 2\n", "revision": 1}
    written = (await server.call("PATCH", "/admin/functions/sample/noop", json=body)).json()
    assert first["version"] != written["version"]
    assert (await submit(server))["version"] == written["version"]
    assert (await submit(server, version=first["version"]))["version"] == first["version"]
    await server.call("DELETE", "/admin/functions/sample/noop")
    answer = await server.call("POST", "/jobs", "ann", json={"function": "sample/noop"})
    assert answer.status_code == 404


async def test_a_version_written_during_a_look_up_is_not_missed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is announced while the function is being read makes the next submission read it again."""
    really = server.store.get_document
    new = "def main() -> int:\n    return 2\n"

    async def overtaken(collection: str, doc_id: str) -> bytes | None:
        found = await really(collection, doc_id)
        if collection == "functions":
            monkeypatch.undo()
            body = {"source": new, "revision": 1}
            await server.call("PATCH", "/admin/functions/sample/noop", json=body)
        return found

    await server.token("ann")
    monkeypatch.setattr(server.store, "get_document", overtaken)
    await submit(server)
    current = (await server.call("GET", "/admin/functions/sample/noop")).json()["default"]
    assert (await submit(server))["version"] == current


async def test_the_list_filters_and_pages(server: Server) -> None:
    """Filters go to the store, the cursor leads through all pages without gap or repetition."""
    ids = [(await submit(server, "ann"))["id"] for _ in range(5)]
    await submit(server, "bob", function="sample/add", args=[1])
    await server.call("POST", f"/jobs/{ids[0]}/cancel", "ann")
    found: list[str] = []
    cursor = ""
    while True:
        params = {"submitter": "ann", "limit": "2", "cursor": cursor, "order": "oldest"}
        page = (await server.call("GET", "/jobs", "ann", params=params)).json()
        found += [job["id"] for job in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert found == ids
    params = {"state": "cancelled,done", "function": "sample/noop"}
    page = (await server.call("GET", "/jobs", "ann", params=params)).json()
    assert [job["id"] for job in page["items"]] == [ids[0]]


async def test_a_host_of_its_own_must_be_known(server: Server) -> None:
    """A job for a host that was never seen would wait for ever: it is refused."""
    answer = await server.call(
        "POST", "/jobs", "ann", json={"function": "sample/noop", "host": "h9"}
    )
    assert answer.status_code == 422
    assert "host" in answer.json()["fields"]
    assert all(each.name != "jobs.host.h9" for each in await server.broker.stats())


async def test_an_unknown_id_is_a_plain_404(server: Server) -> None:
    """An id of the right form that is nobody's job is told as such."""
    answer = await server.call("GET", f"/jobs/{new_id()}", "ann")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
