"""Links: what a far end may do, what it holds, and how it comes back."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from dts_core import codec
from dts_core.brokers import link_server
from dts_core.brokers.base import Message, Outgoing, QueueKind, QueueSpec
from dts_core.brokers.embedded import broker, filling, queues
from dts_core.brokers.embedded.outlets import Taking
from dts_core.brokers.link import LinkBroker, unix_stream
from dts_core.errors import (
    BrokerUnavailable,
    CodecError,
    ConfigError,
    Forbidden,
    ResultRefused,
    TooLarge,
)
from dts_core.model import (
    Heartbeat,
    JobResult,
    JobResults,
    LogBatch,
    Progress,
    ProgressReport,
)
from dts_core.states import JobEvent
from dts_core.testing import ManualClock, wait_until
from tests.contract.broker_backends import OverLink, Owner
from tests.support.taking import Taker, outgoing, stands, until_stands

JOBS = QueueSpec("jobs.default", claimed=True)
QUEUES = [
    JOBS,
    QueueSpec("results"),
    QueueSpec("heartbeats", QueueKind.BOUNDED),
    QueueSpec("logs", QueueKind.BOUNDED),
    QueueSpec("requests", QueueKind.REQUEST),
]


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Owner]:
    owner = Owner(tmp_path, role="worker")
    await start(owner)
    yield owner
    await owner.close()


async def start(owner: Owner) -> None:
    await owner.open()
    for spec in QUEUES:
        await owner.broker.declare(spec)


@pytest.fixture
async def links(owner: Owner) -> AsyncIterator[OverLink]:
    links = OverLink(owner)
    yield links
    await links.close()


def results(*claims: tuple[str, int], host: str = "a") -> list[Outgoing]:
    body = codec.encode(
        JobResults(
            host, "w1", [JobResult(job, epoch, JobEvent.FINISH, b"1") for job, epoch in claims]
        )
    )
    return [Outgoing("results", Message(body, type="JobResults"))]


async def published(owner: Owner) -> list[list[tuple[str, int]]]:
    """The claims of every message in `results`."""
    taker = Taker()
    consumption = await owner.broker.consume("results", taker.take, prefetch=100)
    ready, unacked = await stands(owner.broker, "results")
    await taker.has(ready + unacked)
    await consumption.close()
    bodies = [codec.decode(d.message.body, JobResults) for d in taker.deliveries]
    return [[(result.id, result.epoch) for result in body.results] for body in bodies]


# --- results


async def test_results_of_held_claims_pass(owner: Owner, links: OverLink) -> None:
    """A worker may report what it was granted, before and after the ack, once the claim is not reported yet."""
    await owner.broker.publish(outgoing("jobs.default", ["j1", "j2"]))
    side = await links.side("a", "w1")
    taker = await (await Taker.on(side, "jobs.default")).has(2)
    await side.publish(results(("j1", 1)))
    taker.ack("j1", "j2")
    await until_stands(owner.broker, "jobs.default", 0)
    await side.publish(results(("j2", 1)))
    assert await published(owner) == [[("j1", 1)], [("j2", 1)]]
    with pytest.raises(ResultRefused):
        await side.publish(results(("j2", 1)))


async def test_results_of_others_are_refused(owner: Owner, links: OverLink) -> None:
    """A result for a claim of another link, another epoch or nobody is refused, counted and never published."""
    await owner.broker.publish(outgoing("jobs.default", ["j1", "j2"]))
    side, other = await links.side("a", "w1"), await links.side("a", "w2")
    await (await Taker.on(side, "jobs.default", prefetch=1)).has(1)
    await (await Taker.on(other, "jobs.default", prefetch=1)).has(1)
    with pytest.raises(ResultRefused) as refused:
        await side.publish(results(("j1", 1), ("j2", 1), ("j1", 2), ("j9", 0)))
    assert refused.value.refused == [("j2", 1), ("j1", 2), ("j9", 0)]
    assert owner.refused == refused.value.refused
    assert owner.server.refused_results == 3
    assert await published(owner) == [[("j1", 1)]]
    with pytest.raises(ResultRefused):
        await other.publish(results(("j2", 1), host="b"))
    assert await published(owner) == [[("j1", 1)]]


async def test_a_reported_claim_is_not_lost_with_its_link(owner: Owner, links: OverLink) -> None:
    """Once the result is durable the job is not run again, though the ack was lost with the link."""
    await owner.broker.publish(outgoing("jobs.default", ["j1", "j2"]))
    side = await links.side("a", "w1")
    await (await Taker.on(side, "jobs.default")).has(2)
    await side.publish(results(("j1", 1)))
    await links.cut(side)
    await until_stands(owner.broker, "jobs.default", 1)
    assert owner.desk.lost == [("j2", 1)]


# --- coming back


async def test_a_link_comes_back_by_itself(owner: Owner, links: OverLink) -> None:
    """Consumers and subscriptions go on over a new stream; unacked deliveries come again under new tags."""
    await owner.broker.declare(QueueSpec("jobs.plain"))
    side = await links.side("a", "w1")
    states: list[bool] = []
    side.on_state = lambda connected, why: states.append(connected)
    heard: list[str] = []
    await side.subscribe("control", lambda message: heard.append(message.message_id))
    await owner.broker.publish(outgoing("jobs.plain", ["a", "b"]))
    taker = await (await Taker.on(side, "jobs.plain")).has(2)
    links.roads[id(side)].cut()
    await taker.has(4)
    await wait_until(lambda: states == [False, True])
    assert taker.ids == ["a", "b", "a", "b"]
    assert len({delivery.tag for delivery in taker.deliveries}) == 4
    assert taker.consumption is not None
    taker.consumption.ack([taker.deliveries[0].tag, taker.deliveries[1].tag])
    await owner.broker.fanout("control", Message(b"", message_id="c"))
    await wait_until(lambda: heard == ["c"])
    assert await stands(owner.broker, "jobs.plain") == (0, 2)
    taker.ack()
    await until_stands(owner.broker, "jobs.plain", 0)


async def test_a_worker_goes_on_after_the_owner_restarts(owner: Owner, links: OverLink) -> None:
    """Deliveries of claims that are still its own keep their tags; acks and results count; nobody else gets them."""
    await owner.broker.publish(outgoing("jobs.default", ["j1", "j2", "j3"]))
    side = await links.side("a", "w1")
    taker = await (await Taker.on(side, "jobs.default", prefetch=3)).has(3)
    resumed: list[tuple[str, int, bool, int | None]] = []
    side.on_resumed = resumed.extend
    side.holding = lambda: [("j1", 1), ("j3", 1)]
    road = links.roads[id(side)]
    road.is_blocked = True
    await owner.close()
    owner.desk.held_against("j1", 60)
    owner.desk.held_against("j2", 60)
    owner.desk.finish("j3")
    del owner.desk.owners["j3"]
    await start(owner)
    other = await (await Taker.on(owner.broker, "results")).has(0)
    road.is_blocked = False
    await wait_until(lambda: side.is_connected)
    assert resumed == [("j1", 1, True, 1), ("j3", 1, False, None)]
    assert owner.desk.lost == owner.desk.given_back == []
    await side.publish(results(("j1", 1)))
    with pytest.raises(ResultRefused):
        await side.publish(results(("j3", 1)))
    await other.has(1)
    taker.ack("j1")
    await until_stands(owner.broker, "jobs.default", 0, 1)  # j2 stays parked: its lease lives
    assert taker.ids == ["j1", "j2", "j3"]


async def test_claims_are_adopted_from_parked_messages(owner: Owner, links: OverLink) -> None:
    """A message that another worker's claim request met first, and that was parked, finds its way to its holder."""
    await owner.broker.publish(outgoing("jobs.default", ["j1"]))
    side = await links.side("a", "w1")
    taker = await (await Taker.on(side, "jobs.default")).has(1)
    road = links.roads[id(side)]
    road.is_blocked = True
    await owner.close()
    owner.desk.held_against("j1", 60)
    await start(owner)
    other = await links.side("b", "w2")
    await Taker.on(other, "jobs.default")
    await wait_until(lambda: len(owner.desk.requests) == 2)
    await until_stands(owner.broker, "jobs.default", 0, 1)
    road.is_blocked = False
    await wait_until(lambda: side.is_connected)
    taker.ack("j1")
    await until_stands(owner.broker, "jobs.default", 0)


@pytest.mark.parametrize("acks_first", [True, False])
async def test_claims_are_adopted_before_their_message_is_read(
    owner: Owner, links: OverLink, monkeypatch: pytest.MonkeyPatch, acks_first: bool
) -> None:
    """A message far behind in its queue finds its holder when it is read, also when it was acked before."""
    monkeypatch.setattr(queues, "WINDOW", 1)
    monkeypatch.setattr(filling, "WINDOW", 1)
    names = ["j1", "j2", "j3", "j4"]
    await owner.broker.publish(outgoing("jobs.default", names))
    side = await links.side("a", "w1")
    taker = await (await Taker.on(side, "jobs.default", prefetch=4)).has(4)
    side.holding = lambda: [("j4", 1)]
    road = links.roads[id(side)]
    road.is_blocked = True
    await owner.close()
    for name in names:
        owner.desk.held_against(name, 60)
    await start(owner)
    assert taker.consumption is not None
    taker.consumption.grant(1)  # no room beside the adopted one: nothing is read before its ack
    if acks_first:
        taker.ack("j4")  # without a stream: it is sent over the next one
    road.is_blocked = False
    await wait_until(lambda: side.is_connected)
    if not acks_first:
        assert await stands(owner.broker, "jobs.default") == (4, 0)
        taker.ack("j4")
    await until_stands(owner.broker, "jobs.default", 0, 3)
    assert taker.ids == names
    assert [request.job for request in owner.desk.requests[4:]] == ["j1", "j2", "j3"]


async def test_an_adopted_delivery_is_lost_like_any_other(owner: Owner, links: OverLink) -> None:
    """A link that goes after it came back is charged for what it had adopted, and the message is ready again."""
    await owner.broker.publish(outgoing("jobs.default", ["j1"]))
    side = await links.side("a", "w1")
    await (await Taker.on(side, "jobs.default")).has(1)
    road = links.roads[id(side)]
    road.is_blocked = True
    await owner.close()
    owner.desk.held_against("j1", 60)
    await start(owner)
    road.is_blocked = False
    await wait_until(lambda: side.is_connected)
    await until_stands(owner.broker, "jobs.default", 0, 1)
    await links.cut(side)
    await until_stands(owner.broker, "jobs.default", 1)
    await wait_until(lambda: owner.desk.lost == [("j1", 1)])


async def test_a_silent_worker_is_handed_nothing_until_it_is_heard(tmp_path: Path) -> None:
    """One that is frozen has room and a stream that takes bytes; what it is sent is lost time, and a loss charged."""
    owner = Owner(tmp_path, role="worker")
    owner.ping_seconds, owner.lost_seconds = 0.05, 60
    await start(owner)
    links = OverLink(owner)
    try:
        side = await links.side()  # it pings every three seconds, and is silent in between
        frozen = await Taker.on(side, "jobs.default")
        await wait_until(lambda: [each.link.is_silent for each in takings(owner)] == [True])
        lively = await Taker.on(owner.broker, "jobs.default", acks=True)
        await owner.broker.publish(outgoing("jobs.default", ["j1", "j2"]))
        await lively.has(2)
        await lively.close()
        assert frozen.ids == []
        await owner.broker.publish(outgoing("jobs.default", ["j3"]))
        await until_stands(owner.broker, "jobs.default", 1)
        assert frozen.consumption is not None
        frozen.consumption.grant(50)
        await frozen.has(1)
    finally:
        await links.close()
        await owner.close()


def takings(owner: Owner) -> list[Taking]:
    """The consumers of the queue of jobs."""
    return owner.broker._dispatcher.outlets["jobs.default"].takings


async def test_a_worker_that_comes_back_ends_its_former_link(owner: Owner, links: OverLink) -> None:
    """A second link of the same worker takes over what it holds; only what it does not hold is charged."""
    await owner.broker.publish(outgoing("jobs.default", ["j1", "j2"]))
    former = await links.side("a", "w1")
    await (await Taker.on(former, "jobs.default")).has(2)
    links.roads[id(former)].is_blocked = True
    side = LinkBroker(unix_stream(owner.socket), host="a", worker="w1")
    side.holding = lambda: [("j1", 1)]
    await side.start()
    try:
        await wait_until(lambda: owner.server.links == [("a", "w1")])
        await until_stands(owner.broker, "jobs.default", 1, 1)
        assert owner.desk.lost == [("j2", 1)]
        await side.publish(results(("j1", 1)))
    finally:
        await side.close()


async def test_publishing_waits_for_the_link_up_to_its_deadline(
    owner: Owner, links: OverLink
) -> None:
    """While the stream is away a call waits; it ends with the stream's return or with its deadline."""
    side = await links.side("a", "w1")
    road = links.roads[id(side)]
    road.is_blocked = True
    road.cut()
    await wait_until(lambda: not side.is_connected)
    beat = Heartbeat(
        host="a", worker="w1", boot_id="b", sequence=1, at=ManualClock().now(), interval_seconds=2
    )
    item = Outgoing("heartbeats", Message(codec.encode(beat), type="Heartbeat"))
    waiting = asyncio.ensure_future(side.publish([item]))
    await asyncio.sleep(0)
    assert not waiting.done()
    road.is_blocked = False
    await waiting
    hasty = LinkBroker(road, host="a", worker="w3", deadline_seconds=0.05)
    with pytest.raises(BrokerUnavailable):
        await hasty.publish([item])
    await hasty.close()


async def test_nobody_there_is_said_in_time(tmp_path: Path) -> None:
    """The first connection fails with the reason when there is no owner."""
    with pytest.raises(BrokerUnavailable, match="not there"):
        await LinkBroker.connect(unix_stream(tmp_path / "none.sock"), timeout_seconds=0.3)


# --- what a worker may do


async def test_a_worker_may_do_only_its_own_work(owner: Owner, links: OverLink) -> None:
    """Queues, fanouts and reports that are not a worker's are refused, one by one."""
    side = await links.side("a", "w1")
    message = Message(b"x")
    refused = [
        side.publish([Outgoing("jobs.default", message)]),
        side.publish([Outgoing("requests", message)]),
        side.fanout("control", message),
        side.subscribe("events", lambda message: None),
        side.consume("results", lambda deliveries: None, prefetch=1),
        side.consume("jobs.dts", lambda deliveries: None, prefetch=1),
        side.consume("jobs.host.b", lambda deliveries: None, prefetch=1),
        side.declare(QueueSpec("other")),
        side.request("results", message),
        side.stats(),
        side.dead_letters(),
        side.send_again([1]),
        side.discard_dead([1]),
        side.pause("jobs.default"),
        side.resume("jobs.default"),
    ]
    for call in refused:
        with pytest.raises(Forbidden):
            await call
    with pytest.raises(CodecError):
        await side.publish([Outgoing("results", message)])
    await side.declare(QueueSpec("jobs.host.a", QueueKind.BOUNDED))
    await side.consume("jobs.host.a", lambda deliveries: None, prefetch=1)
    stats = {stats.name: stats for stats in await owner.broker.stats()}
    assert stats["jobs.host.a"].consumers == 1
    assert (stats["jobs.default"].ready, stats["results"].ready) == (0, 0)
    assert not stats["jobs.default"].paused


async def test_reports_for_another_host_are_refused(owner: Owner, links: OverLink) -> None:
    """Heartbeats and logs carry the link's own host."""
    side = await links.side("a", "w1")
    for host, passes in (("a", True), ("b", False)):
        beat = Heartbeat(
            host=host,
            worker="w1",
            boot_id="b",
            sequence=1,
            at=ManualClock().now(),
            interval_seconds=2,
        )
        for queue, body in (("heartbeats", beat), ("logs", LogBatch(host, "w1", []))):
            call = side.publish([Outgoing(queue, Message(codec.encode(body)))])
            if passes:
                await call
            else:
                with pytest.raises(Forbidden):
                    await call
    assert await stands(owner.broker, "heartbeats") == (1, 0)
    assert await stands(owner.broker, "logs") == (1, 0)


async def test_a_report_renews_and_moves_only_what_its_link_holds(
    owner: Owner, links: OverLink
) -> None:
    """Claims of others in a heartbeat or in progress are left out; its own ones arrive."""
    side = await links.side("a", "w1")
    taker = await Taker.on(side, "jobs.default")
    await owner.broker.publish(outgoing("jobs.default", ["mine"]))
    (delivery,) = (await taker.has(1)).deliveries
    mine, other = ("mine", delivery.epoch), ("other", 1)
    beat = Heartbeat(
        host="a", worker="w1", boot_id="b", sequence=1, at=ManualClock().now(), interval_seconds=2,
        held=[other, mine],
    )  # fmt: skip
    report = ProgressReport(
        host="a", worker="w1", items=[Progress(*other, 0.5), Progress(*mine, 0.5, "half")]
    )
    heard = await Taker.on(owner.broker, "heartbeats")
    for each in (beat, report):
        await side.publish([Outgoing("heartbeats", Message(codec.encode(each)))])
    first, second = [each.message.body for each in (await heard.has(2)).deliveries]
    assert codec.decode(first, Heartbeat) == msgspec.structs.replace(beat, held=[mine])
    assert codec.decode(second, ProgressReport).items == report.items[1:]


@pytest.mark.parametrize("name", ["jobs.", "jobs.\x1b[2J", "jobs.A", "jobs.host.", "jobs.x\u202e"])
async def test_a_worker_makes_queues_with_names_only(
    owner: Owner, links: OverLink, name: str
) -> None:
    """What a worker calls a queue is shown to everybody: it is a name, or refused."""
    side = await links.side("a", "w1")
    with pytest.raises(Forbidden):
        await side.declare(QueueSpec(name, claimed=True))
    assert name not in {stats.name for stats in await owner.broker.stats()}


async def test_the_number_of_queues_has_a_bound(
    owner: Owner, links: OverLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that declares for ever ends at a bound; queues that exist go on."""
    monkeypatch.setattr(broker, "QUEUES_MAX", len(await owner.broker.stats()) + 3)
    side = await links.side("a", "w1")
    for number in range(3):
        await side.declare(QueueSpec(f"jobs.q{number}", claimed=True))
    with pytest.raises(BrokerUnavailable):
        await side.declare(QueueSpec("jobs.more", claimed=True))
    await side.declare(JOBS)


async def test_what_waits_in_memory_is_bounded_in_bytes(
    owner: Owner, links: OverLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large heartbeats push the oldest ones out long before the limit in messages, and are counted."""
    monkeypatch.setattr(queues, "MEMORY_BYTES", 100_000)
    side = await links.side("a", "w1")
    body = codec.encode(_Padded("a", os.urandom(30_000)))
    for _ in range(10):
        await side.publish([Outgoing("heartbeats", Message(body))])
    stats = {stats.name: stats for stats in await owner.broker.stats()}["heartbeats"]
    assert (stats.ready, stats.dropped) == (3, 7)
    taker = await Taker.on(owner.broker, "heartbeats")
    await taker.has(3)
    await side.publish([Outgoing("heartbeats", Message(body))])
    await taker.has(4)
    for extra in (Message(body, headers={"x": "y" * 5000}), Message(body, reply_to="y" * 5000)):
        with pytest.raises(TooLarge):
            await side.publish([Outgoing("heartbeats", extra)])


class _Padded(msgspec.Struct):
    host: str
    padding: bytes


async def test_a_stream_may_fix_its_host(owner: Owner) -> None:
    """Whoever serves a stream can say which host it is; another hello is refused."""
    serving: list[asyncio.Task[str]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.ensure_future(owner.server.serve_stream(reader, writer, host="a")))

    path = owner.folder / "gate.sock"
    gate = await asyncio.start_unix_server(accept, path)
    try:
        with pytest.raises(BrokerUnavailable, match="another host"):
            await LinkBroker.connect(unix_stream(path), host="b", worker="w", timeout_seconds=0.3)
        side = await LinkBroker.connect(unix_stream(path), host="a", worker="w")
        assert owner.server.links == [("a", "w")]
        await side.close()
    finally:
        gate.close()
        await asyncio.gather(*serving)


# --- the socket


async def test_the_socket_is_private(owner: Owner) -> None:
    """Mode 0600, and gone after the close."""
    assert stat.S_IMODE(owner.socket.stat().st_mode) == 0o600
    await owner.server.close()
    assert not owner.socket.exists()


async def test_other_users_are_refused(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of another user is cut before its first frame; the superuser is not."""
    monkeypatch.setattr(link_server, "peer_uid", lambda connection: os.getuid() + 1)
    with pytest.raises(BrokerUnavailable):
        await LinkBroker.connect(
            unix_stream(owner.socket), host="a", worker="w", timeout_seconds=0.3
        )
    assert owner.server.links == []
    assert owner.server.refused_links >= 1


async def test_peer_credentials_are_read(owner: Owner, links: OverLink) -> None:
    """The user at the other end of a real socket is this process's own; an unreadable one is nobody's."""
    reader, writer = await asyncio.open_unix_connection(owner.socket)
    assert link_server.peer_uid(writer.get_extra_info("socket")) == os.getuid()
    assert link_server.peer_uid(object()) == -1
    writer.close()
    assert reader is not None


def test_long_socket_paths_are_refused(tmp_path: Path) -> None:
    """A path that a Unix socket cannot have is an error with advice, not a cut name."""
    path = tmp_path / ("x" * 120)
    with pytest.raises(ConfigError, match="longer than"):
        link_server._listen(path)
