"""The live stream over a real socket: told once, resumed without gap, never held up by a slow reader."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from dts_core.api import sse
from dts_core.brokers.base import Message
from dts_core.codec import encode
from dts_core.model import Alarm, Change, Heartbeat, Host, LogBatch, LogRecord
from dts_core.services import subscriber
from dts_core.services.stream import LOG_STREAM
from dts_core.testing import START, wait_until
from tests.support.server import Server, serve

Event = tuple[str, str, Any]


class Live:
    """A server on a socket."""

    def __init__(self, server: Server, url: str, uvicorn_server: uvicorn.Server) -> None:
        self.server = server
        self.url = url
        self.uvicorn = uvicorn_server

    @contextlib.asynccontextmanager
    async def follow(
        self, user: str = "ann", *, last: str = "", **params: str
    ) -> AsyncIterator[AsyncIterator[Event]]:
        headers = {"Authorization": f"Bearer {await self.server.token(user)}"}
        if last:
            headers["Last-Event-ID"] = last
        before = len(self.server.services.stream)
        async with (
            httpx.AsyncClient(base_url=self.url, timeout=60) as http,
            http.stream("GET", "/stream", params=params, headers=headers) as response,
        ):
            assert response.status_code == 200, await response.aread()
            assert response.headers["content-type"].startswith("text/event-stream")
            await wait_until(lambda: len(self.server.services.stream) == before + 1)
            yield events(response.aiter_lines())


async def events(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    topic = identity = data = ""
    async for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            topic = value
        elif name == "id":
            identity = value
        elif name == "data":
            data = value
        elif not line and data:
            yield topic, identity, json.loads(data)
            topic = data = ""


async def take(stream: AsyncIterator[Event], count: int = 1) -> list[Event]:
    async with asyncio.timeout(60):
        return [await anext(stream) for _ in range(count)]


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with serve(tmp_path) as server:
        await server.namespace()
        await server.function()
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            config = uvicorn.Config(server.app, log_config=None, lifespan="off")
            made = uvicorn.Server(config)
            task = asyncio.create_task(made.serve(sockets=[listener]))
            await wait_until(lambda: made.started)
            port = listener.getsockname()[1]
            yield Live(server, f"http://127.0.0.1:{port}", made)
            server.services.drain()
            made.should_exit = True
            await asyncio.wait_for(task, 60)


async def submit(live: Live, user: str = "ann", function: str = "sample/noop") -> str:
    answer = await live.server.call("POST", "/jobs", user, json={"function": function})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_a_job_is_told_as_it_changes(live: Live) -> None:
    """Followers hear each state that lasts, with an id to resume from."""
    async with live.follow(topics="jobs") as stream:
        job = await submit(live)
        (topic, identity, told), *_ = await take(stream)
        assert (topic, told["id"], told["state"]) == ("jobs", job, "queued")
        await live.server.run(job)
        (_, later, told), *_ = await take(stream)
        assert told["state"] == "done"
        assert told["result"] is None
        assert int(later.split("-")[0]) > int(identity.split("-")[0])


async def test_filters_and_permissions_hold_on_the_stream(live: Live) -> None:
    """A follower hears only jobs that it sees and asked for."""
    await live.server.namespace("closed", bob="submitter")
    await live.server.function("closed/noop")
    async with (
        live.follow("ann", topics="jobs") as anns,
        live.follow("bob", topics="jobs", function="closed/noop") as bobs,
    ):
        await submit(live, "bob", "sample/noop")
        hidden = await submit(live, "bob", "closed/noop")
        seen = await submit(live, "ann", "sample/noop")
        assert [told["id"] for _, _, told in await take(bobs)] == [hidden]
        told = {event["id"] for _, _, event in await take(anns, 2)}
        assert seen in told
        assert hidden not in told


async def test_a_cut_stream_resumes_without_a_gap(live: Live) -> None:
    """What changed while nobody listened comes first; then the stream goes on live."""
    async with live.follow(topics="jobs,logs") as stream:
        first = await submit(live)
        (_, last, _), *_ = await take(stream)
    missed = [await submit(live) for _ in range(3)]
    await live.server.store.add_logs([record("while away")])
    async with live.follow(last=last, topics="jobs,logs") as stream:
        seen: dict[str, str] = {}
        lines: list[str] = []
        async with asyncio.timeout(60):
            async for topic, _, told in stream:
                if topic == "jobs":
                    seen[told["id"]] = told["state"]
                else:
                    lines += [line["text"] for line in told]
                if set(missed) <= seen.keys() and lines:
                    break
        assert lines == ["while away"]
        await live.server.run(first)
        async with asyncio.timeout(60):
            async for _, _, told in stream:
                if told["id"] == first and told["state"] == "done":
                    break


async def test_a_change_during_the_resume_is_told(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between what is read of the past and what is heard live there is no gap."""
    really = live.server.store.find_logs
    made: list[str] = []

    async def meanwhile(query: Any) -> list[LogRecord]:
        if not made:
            made.append(await submit(live))
        return await really(query)

    await live.server.token("ann")
    monkeypatch.setattr(live.server.store, "find_logs", meanwhile)
    async with live.follow(last="0-0", topics="jobs,logs") as stream:
        ((_, _, told),) = await take(stream)
        assert told["id"] == made[0]


async def test_a_resume_tells_the_last_changes_once_more(live: Live) -> None:
    """Jobs are not told strictly by position: one of a lower position may have been cut off."""
    job = await submit(live)
    position = await live.server.store.position()
    async with live.follow(last=f"{position}-0", topics="jobs") as stream:
        ((_, _, told),) = await take(stream)
        assert told["id"] == job


async def test_a_log_record_is_told_once(live: Live) -> None:
    """What a resume has told already does not come again by the live way."""
    stored = await live.server.store.add_logs([record("one"), record("two")])
    async with live.follow(last="0-0", topics="logs") as stream:
        ((_, _, told),) = await take(stream)
        assert [line["text"] for line in told] == ["one", "two"]
        batch = LogBatch("", "logtracer", stored)
        await live.server.broker.fanout(LOG_STREAM, Message(encode(batch), type="LogBatch"))
        await add_logs(live, record("three"))
        ((_, _, told),) = await take(stream)
        assert [line["text"] for line in told] == ["three"]


async def test_an_absence_that_was_too_long_is_a_reset(live: Live) -> None:
    """Beyond the bound the follower is told to list again instead of being flooded."""
    batch = {"jobs": [{"function": "sample/noop"}] * 600}
    for _ in range(2):
        await live.server.call("POST", "/jobs", "ann", json=batch)
    async with live.follow(last="1-0", topics="jobs") as stream:
        (topic, identity, _), *_ = await take(stream)
        assert topic == "reset"
        assert int(identity.split("-")[0]) >= 1200


def record(text: str, **fields: Any) -> LogRecord:
    given: dict[str, Any] = {"at": START, "host": "h1", "source": "/var/log/x", "level": 30}
    return LogRecord(**(given | fields), text=text)


async def add_logs(live: Live, *records: LogRecord) -> None:
    """What the logtracer does: store, then tell."""
    stored = await live.server.store.add_logs(records)
    batch = LogBatch("", "logtracer", stored)
    await live.server.broker.fanout(LOG_STREAM, Message(encode(batch), type="LogBatch"))


async def test_log_lines_follow_live_with_filters(live: Live) -> None:
    """Host, level and text are judged as the store judges them; positions resume."""
    async with live.follow(topics="logs", level="warning", text="DISK") as stream:
        await add_logs(live, record("disk full"), record("disk fine", level=20), record("all well"))
        ((topic, identity, told),) = await take(stream)
        assert topic == "logs"
        assert [line["text"] for line in told] == ["disk full"]
        assert identity.split("-")[1] == str(told[-1]["seq"])


async def test_lines_of_a_function_are_for_members(live: Live) -> None:
    """A job's output is seen by who sees the job."""
    await live.server.namespace("closed", bob="submitter")
    async with (
        live.follow("ann", topics="logs") as anns,
        live.follow("bob", topics="logs") as bobs,
    ):
        await add_logs(live, record("hidden", job="j", function="closed/f"), record("open"))
        ((_, _, of_ann),) = await take(anns)
        ((_, _, of_bob),) = await take(bobs)
        assert [line["text"] for line in of_ann] == ["open"]
        assert [line["text"] for line in of_bob] == ["hidden", "open"]


async def test_hosts_alarms_and_queues_are_told(live: Live) -> None:
    """Each topic carries the document as the lists show it."""
    beat = Heartbeat(
        host="h1", worker="w1", boot_id="b", sequence=1, at=START, interval_seconds=2.0
    )
    host = Host(name="h1", state="up", first_seen=START, last_beat=START, beat=beat)
    alarm = Alarm(id="a1", host="h1", rule="cpu", level="warning", opened_at=START)
    async with live.follow(topics="hosts,alarms,queues") as stream:
        await live.server.store.save_hosts([host])
        await live.server.store.save_alarm(alarm)
        await live.server.services.bus.publish([Change("hosts", "h1"), Change("alarms", "a1")])
        told = {topic: data for topic, _, data in await take(stream, 3)}
        assert told["hosts"]["name"] == "h1"
        assert told["alarms"]["id"] == "a1"
        assert "jobs.default" in {each["name"] for each in told["queues"]}


async def test_silence_is_filled_with_comments(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client can tell a quiet stream from a dead one."""
    monkeypatch.setattr("dts_core.api.sse.KEEP_ALIVE_SECONDS", 0.02)
    headers = {"Authorization": f"Bearer {await live.server.token('ann')}"}
    async with (
        asyncio.timeout(60),
        httpx.AsyncClient(base_url=live.url) as http,
        http.stream("GET", "/stream", headers=headers) as response,
    ):
        lines = [line async for line in until(response.aiter_lines(), ": alive")]
    assert lines[0] == ": connected"


async def until(lines: AsyncIterator[str], last: str) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line == last:
            return


async def test_a_client_that_goes_away_leaves_nothing_behind(live: Live) -> None:
    """Its subscription ends with its connection."""
    async with live.follow(topics="jobs"):
        assert len(live.server.services.stream) == 1
    await wait_until(lambda: len(live.server.services.stream) == 0)


async def test_a_slow_reader_delays_nobody_and_is_told_to_list_again(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bounded queue overflows, others hear everything, and its next event is a reset."""
    monkeypatch.setattr(subscriber, "BYTES_MAX", 200_000)
    await live.server.token("ann")
    lines_heard = 0
    async with live.follow(topics="logs") as slow:
        async with live.follow(topics="logs") as quick:
            for number in range(100):
                await add_logs(live, *(record(f"{number} {'x' * 3000}") for _ in range(20)))
                ((_, _, told),) = await take(quick)
                lines_heard += len(told)
        assert lines_heard == 2000
        topics = set()
        async with asyncio.timeout(60):
            async for topic, _, _ in slow:
                topics.add(topic)
                if topic == "reset":
                    break
        assert "reset" in topics


async def test_a_storm_of_jobs_becomes_a_reset(live: Live) -> None:
    """More changes than a person can follow are not told one by one."""
    async with live.follow(topics="jobs") as stream:
        batch = {"jobs": [{"function": "sample/noop"}] * 500}
        await live.server.call("POST", "/jobs", "ann", json=batch)
        ((topic, _, _),) = await take(stream)
        assert topic == "reset"


async def test_draining_ends_streams_cleanly(live: Live) -> None:
    """A server that stops closes each stream with a proper end, so that clients reconnect at once."""
    async with live.follow(topics="jobs") as stream:
        live.server.services.drain()
        async with asyncio.timeout(60):
            assert [event async for event in stream] == []
    await wait_until(lambda: len(live.server.services.stream) == 0)


@pytest.mark.parametrize("how", ["logout", "disabled", "removed"])
async def test_a_stream_ends_with_its_token(
    live: Live, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Who is logged out, disabled or removed hears nothing more, and the stream ends."""
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.1)
    async with live.follow("bob", topics="jobs") as stream:
        if how == "logout":
            answer = await live.server.call("DELETE", "/session", "bob")
        elif how == "disabled":
            answer = await live.server.call("PATCH", "/admin/users/bob", json={"disabled": True})
        else:
            answer = await live.server.call("DELETE", "/admin/users/bob")
        assert answer.status_code < 300, answer.text
        async with asyncio.timeout(60):
            assert [each async for each in stream] == []


async def test_a_stream_follows_the_rights_of_now(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A membership that ends while somebody follows ends what they hear of it."""
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.1)
    await live.server.namespace("closed", bob="viewer", ann="submitter")
    await live.server.function("closed/noop")
    async with live.follow("bob", topics="jobs") as stream:
        seen = await submit(live, function="closed/noop")
        assert (await take(stream))[0][2]["id"] == seen
        members = {"members": {"ann": "submitter"}}
        await live.server.call("PATCH", "/admin/namespaces/closed", json=members)
        follower = next(iter(live.server.services.stream._subscribers))
        await wait_until(lambda: "closed" not in follower.caller.memberships)
        await submit(live, function="closed/noop")
        after = await submit(live)
        assert (await take(stream))[0][2]["id"] == after
