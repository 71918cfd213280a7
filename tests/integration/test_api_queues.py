"""Operating over HTTP: pauses that last, dead letters, drained hosts; each an operation."""

import asyncio
import os
import platform
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from dts_core import codec
from dts_core.brokers.base import CONTROL, Message
from dts_core.errors import BrokerUnavailable
from dts_core.model import Control, Drain, Heartbeat, Host, PartState, Pauses, QueueStats
from dts_core.services import deadletters
from dts_core.services.drains import UNDRAIN_SECONDS
from dts_core.services.queues import paused_queues
from dts_core.testing import ManualClock, wait_until
from tests.support.server import Server, serve
from tests.support.taking import Taker, bury, outgoing

HOSTILE = "\x1b]52;c;aGFjaw==\x07\u202e[red]"


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Server]:
    async with serve(tmp_path, clock=clock) as made:
        await made.namespace()
        await made.function()
        yield made


async def hear(server: Server) -> list[Control]:
    """The orders that workers get from now on."""
    orders: list[Control] = []
    kind: Any = Control
    await server.broker.subscribe(
        CONTROL, lambda message: orders.append(codec.decode(message.body, kind))
    )
    return orders


async def queue(server: Server, name: str = "jobs.default") -> dict[str, Any]:
    items = (await server.call("GET", "/queues")).json()["items"]
    found: dict[str, Any] = next(each for each in items if each["name"] == name)
    return found


async def operations(server: Server, collection: str) -> list[tuple[str, str, str, bool]]:
    page = await server.call("GET", "/admin/operations", params={"collection": collection})
    return [
        (each["operator"], each["op_type"], each["doc_id"], bool(each["refused"]))
        for each in page.json()["items"]
    ]


async def buried(
    server: Server, *ids: str, reason: str = "garbage", body: bytes = b"x"
) -> list[int]:
    """Dead letters of `results`; their numbers, oldest first."""
    before = {each.seq for each in await server.broker.dead_letters(limit=500)}
    messages = [Message(body, "T", each) for each in ids]
    await bury(server.broker, "results", *messages, reason=reason)
    found = [each.seq for each in await server.broker.dead_letters(limit=500)]
    return sorted(set(found) - before)


async def test_a_pause_is_told_and_kept_and_on_record(server: Server) -> None:
    """Workers hear the whole list, nothing is handed out, the list says who paused; twice changes nothing."""
    orders = await hear(server)
    for changed in (True, False):
        answer = await server.call("POST", "/queues/jobs.default/pause", "operator")
        assert answer.json() == {"name": "jobs.default", "paused": True, "changed": changed}
    await wait_until(lambda: orders == [Pauses(["default"]), Pauses(["default"])])
    assert await paused_queues(server.store) == ["default"]
    taker = await Taker.on(server.broker, "jobs.default")
    await server.call("POST", "/jobs", json={"function": "sample/noop"})
    shown = await queue(server)
    assert (shown["paused"], shown["paused_by"], shown["ready"]) == (True, "operator", 1)
    assert taker.deliveries == []
    answer = await server.call("POST", "/queues/default/resume", "operator")
    assert answer.json()["changed"]
    await taker.has(1)
    await wait_until(lambda: orders[-1] == Pauses([]))
    assert (await queue(server))["paused_by"] == ""
    assert await operations(server, "queues") == [
        ("operator", "resume", "default", False),
        ("operator", "pause", "default", False),
    ]


async def test_a_restart_keeps_a_pause(tmp_path: Path) -> None:
    """What was paused, also a queue that nobody has declared yet, is paused before anything is handed out."""
    async with serve(tmp_path) as first:
        await first.namespace()
        await first.function()
        await first.call("POST", "/jobs", json={"function": "sample/noop", "queue": "slow"})
        assert (await first.call("POST", "/queues/slow/pause")).status_code == 200
    async with serve(tmp_path) as second:
        taker = await Taker.on(second.broker, "jobs.slow")
        shown = next(each for each in await second.broker.stats() if each.name == "jobs.slow")
        assert (shown.paused, shown.ready) == (True, 1)
        assert taker.deliveries == []
        token = await second.issue("root")
        headers = {"Authorization": f"Bearer {token}"}
        answer = await second.http.post("/queues/jobs.slow/resume", headers=headers)
        assert answer.json()["changed"]
        await taker.has(1)


async def test_only_queues_of_jobs_are_paused(server: Server) -> None:
    """The control side's own queues stay open; the trusted one is an administrator's; the attempt is recorded."""
    answer = await server.call("POST", "/queues/results/pause")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    for name in ("nothing", "jobs.nothing", "x" * 5000, HOSTILE):
        answer = await server.call("POST", f"/queues/{quote(name)}/pause")
        assert answer.status_code == 404, name
        assert "\x1b" not in answer.json()["detail"]
    assert (await server.call("POST", "/queues/dts/pause", "operator")).status_code == 403
    assert (await server.call("POST", "/queues/jobs.dts/pause", "admin")).status_code == 200
    assert (await server.call("POST", "/queues/jobs.dts/resume", "submitter")).status_code == 403
    assert await operations(server, "queues") == [
        ("submitter", "resume", "jobs.dts", True),
        ("admin", "pause", "dts", False),
        ("operator", "pause", "dts", True),
    ]


async def test_a_pause_stands_while_the_broker_is_away(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wish is written; the next announcement says it."""

    async def away(*_: object) -> None:
        raise BrokerUnavailable("gone")

    monkeypatch.setattr(server.broker, "fanout", away)
    assert (await server.call("POST", "/queues/default/pause")).json()["changed"]
    assert await paused_queues(server.store) == ["default"]


async def test_rates_are_per_second_between_two_looks(server: Server, clock: ManualClock) -> None:
    """Null at first, then published, delivered and acked over the time between; an old look counts no more."""
    assert (await queue(server))["published_rate"] is None
    taker = await Taker.on(server.broker, "results", acks=True)
    await server.broker.publish(outgoing("results", [f"m{number}" for number in range(20)]))
    await taker.has(20)
    clock.advance(2)
    shown = await queue(server, "results")
    rates = [shown[f"{name}_rate"] for name in ("published", "delivered", "acked")]
    assert rates == [10.0, 10.0, 10.0]
    clock.advance(60)
    assert (await queue(server, "results"))["published_rate"] is None


async def test_dead_letters_are_shown_and_dealt_with(server: Server) -> None:
    """Each act hits exactly what is named, says how many there were, and is an operation."""
    first, second, third = await buried(server, "a", "b", "c")
    shown = (await server.call("GET", f"/queues/dead-letters/{second}")).json()
    assert (shown["message_id"], shown["queue"], shown["reason"]) == ("b", "results", "garbage")
    assert (shown["body"], shown["body_kind"]) == ("x", "text")
    page = (await server.call("GET", "/queues/dead-letters", params={"limit": 2})).json()
    assert [each["seq"] for each in page["items"]] == [third, second]
    page = await server.call("GET", "/queues/dead-letters", params={"before": page["next"]})
    assert [each["seq"] for each in page.json()["items"]] == [first]
    answer = await server.call(
        "POST", "/queues/dead-letters/send-again", "admin", json={"seqs": [first, 10**9]}
    )
    assert answer.json() == {"count": 1, "more": False}
    taker = await (await Taker.on(server.broker, "results")).has(1)
    assert taker.ids == ["a"]
    answer = await server.call("POST", "/queues/dead-letters/discard", json={"seqs": [second]})
    assert answer.json()["count"] == 1
    answer = await server.call("POST", "/queues/dead-letters/discard", json={"queue": "results"})
    assert answer.json() == {"count": 1, "more": False}
    assert (await server.call("GET", "/queues/dead-letters")).json()["items"] == []
    assert await operations(server, "dead_letters") == [
        ("root", "discard", "results", False),
        ("root", "discard", str(second), False),
        ("admin", "send_again", f"{first}-{10**9}", False),
    ]


async def died(server: Server, function: str, **kwargs: str) -> int:
    """The dead letter of a new job of ann's."""
    body = {"function": function, "kwargs": kwargs}
    assert (await server.call("POST", "/jobs", "ann", json=body)).status_code == 201
    taker = await (await Taker.on(server.broker, "jobs.default")).has(1)
    taker.nack(requeue=False, reason="no")
    await taker.close()
    [letter] = await server.broker.dead_letters(limit=1)
    return letter.seq


async def seen(server: Server, user: str, **params: Any) -> list[int]:
    """The dead letters of every page, by their numbers."""
    found: list[int] = []
    while True:
        page = (await server.call("GET", "/queues/dead-letters", user, params=params)).json()
        found += [each["seq"] for each in page["items"]]
        if not page["next"]:
            return found
        params["before"] = page["next"]


async def test_dead_letters_are_those_of_namespaces_that_one_operates(server: Server) -> None:
    """For an operator who is no member a job's letter is not there; what is no job is an administrator's alone."""
    source = "def main(secret: str) -> None:\n    pass\n"
    for name, members in (("closed", {}), ("ours", {"operator": "viewer"})):
        await server.namespace(name, ann="submitter", **members)
        await server.function(f"{name}/add", source)
    first = await died(server, "ours/add", secret="mine")
    closed = [await died(server, "closed/add", secret="hunter2") for _ in range(3)]
    (raw,) = await buried(server, "r1", body=b"\xff\xfe\x00")
    last = await died(server, "ours/add", secret="mine")
    everything = [last, raw, *reversed(closed), first]
    assert await seen(server, "admin", limit=2) == everything
    for limit in (1, 2, 50):
        assert await seen(server, "operator", limit=limit) == [last, first]
    assert await seen(server, "operator", queue="results") == []
    for seq in (*closed, raw):
        hidden = await server.call("GET", f"/queues/dead-letters/{seq}", "operator")
        assert (hidden.status_code, "hunter2" in hidden.text) == (404, False)
    shown = (await server.call("GET", f"/queues/dead-letters/{closed[0]}", "admin")).json()
    assert '"secret": "hunter2"' in shown["body"]
    shown = (await server.call("GET", f"/queues/dead-letters/{raw}", "admin")).json()
    assert (shown["body_kind"], shown["body"]) == ("bytes", "fffe00")
    for act in ("send-again", "discard"):
        asked = {"seqs": [*closed, raw]}
        answer = await server.call("POST", f"/queues/dead-letters/{act}", "operator", json=asked)
        assert answer.json() == {"count": 0, "more": False}
    assert await seen(server, "admin") == everything
    asked = {"seqs": [raw, last]}
    answer = await server.call("POST", "/queues/dead-letters/discard", "operator", json=asked)
    assert answer.json()["count"] == 1
    answer = await server.call(
        "POST", "/queues/dead-letters/discard", "operator", json={"queue": "jobs.default"}
    )
    assert answer.json()["count"] == 1
    assert await seen(server, "admin") == [raw, *reversed(closed)]
    span = f"{closed[0]}-{raw}"
    assert await operations(server, "dead_letters") == [
        ("operator", "discard", "jobs.default", False),
        ("operator", "discard", str(last), False),
        ("operator", "discard", str(raw), True),
        ("operator", "discard", span, True),
        ("operator", "send_again", span, True),
    ]


async def test_what_is_hidden_is_looked_through_within_a_bound(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages without any of one's own come with a next, and lead to those that are further down."""
    await server.namespace("ours", ann="submitter", operator="viewer")
    await server.function("ours/noop", "def main() -> None:\n    pass\n")
    first = await died(server, "ours/noop")
    await buried(server, *"abcdef")
    monkeypatch.setattr(deadletters, "SCAN_PAGES", 2)
    page = (
        await server.call("GET", "/queues/dead-letters", "operator", params={"limit": 1})
    ).json()
    assert (page["items"], bool(page["next"])) == ([], True)
    assert await seen(server, "operator", limit=1) == [first]


async def test_long_and_hostile_dead_letters_are_bounded(server: Server) -> None:
    """A body of megabytes is cut; text is handed on as it is, as JSON, and never breaks the answer."""
    (long,) = await buried(server, HOSTILE, reason=HOSTILE, body=b"a" * (3 << 20))
    shown = (await server.call("GET", f"/queues/dead-letters/{long}")).json()
    assert (len(shown["body"]), shown["truncated"], shown["size"]) == (64 << 10, True, 3 << 20)
    assert "\x1b" not in shown["reason"]
    deep = codec.encode([[[[HOSTILE]]]])
    (nested,) = await buried(server, "n", body=deep)
    shown = (await server.call("GET", f"/queues/dead-letters/{nested}")).json()
    assert shown["body_kind"] == "message"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("send-again", {}),
        ("send-again", {"seqs": []}),
        ("send-again", {"seqs": [0]}),
        ("send-again", {"seqs": [-1]}),
        ("send-again", {"seqs": ["1"]}),
        ("send-again", {"seqs": [1 << 63]}),
        ("send-again", {"seqs": list(range(1, 502))}),
        ("send-again", {"seqs": [1], "queue": "x"}),
        ("discard", {}),
        ("discard", {"seqs": [1], "queue": "results"}),
        ("discard", {"queue": "x" * 301}),
        ("discard", {"queue": 7}),
    ],
)
async def test_bad_choices_of_dead_letters_are_refused(
    server: Server, path: str, body: dict[str, Any]
) -> None:
    """A clear 4xx that changes nothing."""
    seqs = await buried(server, "a")
    answer = await server.call("POST", f"/queues/dead-letters/{path}", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid"
    assert [each.seq for each in await server.broker.dead_letters()] == seqs


@pytest.mark.parametrize("seq", ["0", "-1", "x", "1.5", "9" * 30, "١"])
async def test_numbers_that_no_dead_letter_has_are_not_found(server: Server, seq: str) -> None:
    """Whatever stands in the path."""
    assert (await server.call("GET", f"/queues/dead-letters/{seq}")).status_code == 404


def beating(name: str, clock: ManualClock, *, draining: bool = False) -> Host:
    beat = Heartbeat(
        host=name, worker="w", boot_id="b", sequence=1, at=clock.now(), interval_seconds=2.0,
        draining=draining,
    )  # fmt: skip
    return Host(name=name, state="up", first_seen=clock.now(), last_beat=clock.now(), beat=beat)


async def test_a_host_is_drained_until_it_is_told_otherwise(
    server: Server, clock: ManualClock
) -> None:
    """The order goes out at once, and again while the host does something else; each wish is an operation."""
    orders = await hear(server)
    await server.store.save_hosts([beating("web-1", clock)])
    answer = await server.call("POST", "/hosts/web-1/drain", "operator")
    assert answer.json() == {"host": "web-1", "draining": True, "changed": True}
    assert not (await server.call("POST", "/hosts/web-1/drain", "operator")).json()["changed"]
    await wait_until(lambda: len(orders) == 2)
    await server.services.drains.look()
    await wait_until(lambda: orders == [Drain("web-1")] * 3)
    await server.store.save_hosts([beating("web-1", clock, draining=True)])
    await server.services.drains.look()
    assert (await server.call("POST", "/hosts/web-1/undrain", "operator")).json()["changed"]
    await server.services.drains.look()
    await wait_until(lambda: orders[3:] == [Drain("web-1", on=False)] * 2)
    clock.advance(UNDRAIN_SECONDS + 1)
    await server.services.drains.look()  # it may drain because it stops
    assert len(orders) == 5
    assert (await server.call("POST", f"/hosts/{quote(HOSTILE)}/drain")).status_code == 404
    assert await operations(server, "drains") == [
        ("operator", "undrain", "web-1", False),
        ("operator", "drain", "web-1", False),
    ]


async def test_the_status_says_how_every_part_is(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Store and broker are asked each time; a broker that is away is said, and the rest is still shown."""
    told = (await server.call("GET", "/status")).json()
    parts = {each["name"]: each for each in told["parts"]}
    assert [each["name"] for each in told["parts"]][:3] == ["store", "broker", "server"]
    assert parts["store"]["state"] == parts["broker"]["state"] == parts["server"]["state"] == "up"
    assert parts["broker"]["words"].startswith("up, answers in ")
    assert {each["name"] for each in told["queues"]} >= {"jobs.default", "results"}

    async def away() -> None:
        raise BrokerUnavailable(f"connection refused {HOSTILE}")

    monkeypatch.setattr(server.broker, "stats", away)
    told = (await server.call("GET", "/status")).json()
    parts = {each["name"]: each for each in told["parts"]}
    assert parts["broker"]["state"] == "away"
    assert "connection refused" in parts["broker"]["words"]
    assert "\x1b" not in parts["broker"]["words"]
    assert told["queues"] == []


def part(clock: ManualClock, name: str, **fields: Any) -> PartState:
    given = {"host": "ctl-2", "pid": 7, "version": "0.1.0", "broker": "up", "store": "up"}
    at = clock.now()
    return PartState(id=f"{name}-1", name=name, started_at=at, seen_at=at, **{**given, **fields})


async def test_parts_of_other_processes_say_how_they_are(
    server: Server, clock: ManualClock
) -> None:
    """Up, standing by, cut off from the broker, or not heard of; a part of this very process is told once."""
    await server.store.save_part(part(clock, "scheduler"))
    clock.advance(20)
    away = f"away for 12 s: connection refused{HOSTILE}"
    for each in (
        part(clock, "porter"),
        part(clock, "stethoscope", leads=False),
        part(clock, "logtracer", broker=away),
        part(clock, "server", host=platform.node(), pid=os.getpid()),
    ):
        await server.store.save_part(each)
    told = (await server.call("GET", "/status")).json()["parts"]
    said = {each["name"]: (each["state"], each["words"]) for each in told}
    assert said["porter"] == ("up", "up, broker up, store up")
    assert said["stethoscope"][0] == "standby"
    assert said["stethoscope"][1].startswith("stands by, another one leads")
    assert said["logtracer"][0] == "away"
    assert "away for 12 s" in said["logtracer"][1]
    assert "\x1b" not in said["logtracer"][1]
    assert said["scheduler"][0] == "quiet"
    assert said["scheduler"][1].startswith("not heard for 20 s")
    assert [each["pid"] for each in told if each["name"] == "server"] == [os.getpid()]


async def test_consoles_that_look_at_once_ask_the_broker_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What many look at costs the broker no more than what one does."""
    asked = 0
    stats = server.broker.stats

    async def counted() -> list[QueueStats]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return await stats()

    monkeypatch.setattr(server.broker, "stats", counted)
    await asyncio.gather(*(server.services.queues.stats() for _ in range(20)))
    assert asked == 1
