"""Links after a pause: whoever stood still does not blame the other end for it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dts_core.brokers import frames
from dts_core.brokers.base import QueueSpec
from dts_core.brokers.link import LinkBroker, unix_stream
from dts_core.testing import wait_until
from tests.contract.broker_backends import OverLink, Owner
from tests.support.taking import Taker, outgoing, until_stands

JOBS = QueueSpec("jobs.default", claimed=True)


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Owner]:
    owner = Owner(tmp_path, role="worker")
    await owner.open()
    await owner.broker.declare(JOBS)
    yield owner
    await owner.close()


@pytest.fixture
async def links(owner: Owner) -> AsyncIterator[OverLink]:
    links = OverLink(owner)
    yield links
    await links.close()


async def raw(
    owner: Owner, *said: frames.Frame
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream on which a client said this."""
    reader, writer = await asyncio.open_unix_connection(owner.socket)
    writer.write(b"".join(map(frames.pack, said)))
    return reader, writer


def hello(stream: int, *holding: tuple[str, int], instance: str = "i") -> frames.Hello:
    return frames.Hello(frames.VERSION, "a", "w1", list(holding), instance, stream)


async def test_a_stream_that_was_given_up_keeps_its_claims(owner: Owner, links: OverLink) -> None:
    """A client that leaves a silent owner and comes back goes on under its old tags; nothing is charged."""
    await owner.broker.publish(outgoing("jobs.default", ["j1"]))
    side = await links.side("a", "w1")
    taker = await (await Taker.on(side, "jobs.default")).has(1)
    owner.desk.held_against("j1", 60)
    wire = side._wire
    assert wire is not None
    wire.close()
    await wait_until(lambda: side.is_connected and side._wire is not wire)
    assert (owner.desk.lost, owner.desk.given_back) == ([], [])
    taker.ack("j1")
    await until_stands(owner.broker, "jobs.default", 0)
    assert taker.ids == ["j1"]


async def test_a_client_that_left_and_does_not_come_back_is_judged_by_its_lease(
    owner: Owner, links: OverLink
) -> None:
    """Its message waits for the end of the lease, and then goes to somebody else."""
    await owner.broker.publish(outgoing("jobs.default", ["j1"]))
    side = await links.side("a", "w1")
    await (await Taker.on(side, "jobs.default")).has(1)
    owner.desk.held_against("j1", 0.3)
    links.roads[id(side)].is_blocked = True
    assert side._wire is not None
    side._wire.close()
    other = await Taker.on(await links.side("b", "w2"), "jobs.default")
    await wait_until(lambda: [r.worker for r in owner.desk.requests] == ["w1", "w2"])
    assert not owner.desk.requests[-1].redelivered
    del owner.desk.verdicts["j1"]
    await other.has(1)
    assert owner.desk.lost == []


async def test_an_older_stream_does_not_end_a_newer_one(owner: Owner) -> None:
    """Streams that a client gave up meanwhile are refused when they are read after their successor."""
    reader, writer = await raw(owner, hello(3))
    await asyncio.wait_for(reader.read(100), 60)
    late, other = await raw(owner, hello(2))
    said = frames.Cutter().feed(await asyncio.wait_for(late.read(-1), 60))
    failed = frames.server_frames.decode(said[0])
    assert isinstance(failed, frames.Failed)
    assert "given up" in failed.message
    assert owner.server.links == [("a", "w1")]
    writer.write(frames.pack(frames.Ping()))
    again, third = await raw(owner, hello(1, instance="j"))  # another process under this name
    await wait_until(lambda: reader.at_eof() or bool(owner.server.links))
    body = frames.Cutter().feed(await asyncio.wait_for(again.read(100), 60))[0]
    assert isinstance(frames.server_frames.decode(body), frames.Welcome)
    for each in (writer, other, third):
        each.close()


async def test_streams_that_ended_before_they_were_read_begin_nothing(owner: Owner) -> None:
    """A client that did not wait for its welcome leaves no link and no loss, whatever it held."""
    owner.desk.owners["j1"], owner.desk.epochs["j1"] = "w1", 1
    bye = frames.Bye("", keeps=True)
    for number in (1, 2, 3):
        _, writer = await raw(owner, hello(number, ("j1", 1)), bye)
        writer.close()
    await wait_until(lambda: not owner.server._sessions)
    assert owner.server.links == []
    assert owner.desk.lost == []


async def test_a_link_that_breaks_after_a_pause_of_the_owner_is_not_charged(
    owner: Owner, links: OverLink
) -> None:
    """Only what lived through the pause is left to its lease; a later link is charged at once."""
    pause = 0
    owner.server._doubted_pause = lambda: pause
    await owner.broker.publish(outgoing("jobs.default", ["j1", "j2"]))
    old = await links.side("a", "w1")
    await (await Taker.on(old, "jobs.default", prefetch=1)).has(1)
    pause = 1
    owner.desk.held_against("j1", 60)
    await links.cut(old)
    await wait_until(lambda: owner.server.links == [])
    assert owner.desk.lost == []
    new = await links.side("a", "w2")
    await (await Taker.on(new, "jobs.default", prefetch=1)).has(1)
    owner.desk.held_against("j2", 60)
    await links.cut(new)
    await wait_until(lambda: owner.desk.lost == [("j2", 1)])


async def test_one_stream_waits_for_an_owner_that_stands_still(tmp_path: Path) -> None:
    """An owner that takes the stream and answers late gets one hello, however short the silence that counts later."""
    hellos = 0
    go = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hellos
        await reader.read(1000)
        hellos += 1
        await go.wait()
        writer.write(frames.pack(frames.Welcome(frames.VERSION)))
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "slow.sock")
    side = LinkBroker(
        unix_stream(tmp_path / "slow.sock"), worker="w", ping_seconds=0.02, lost_seconds=0.1,
        deadline_seconds=0.1,
    )  # fmt: skip
    starting = asyncio.ensure_future(side.start())
    await wait_until(lambda: hellos == 1)
    await asyncio.sleep(0.5)  # five times the silence that would end it later
    go.set()
    await starting
    assert hellos == 1
    await side.close()
    server.close()


async def test_a_claim_that_never_reached_its_worker_goes_back_uncharged(
    owner: Owner, links: OverLink
) -> None:
    """An owner that died between the grant and the delivery; results that wait are recorded before."""
    await owner.broker.declare(QueueSpec("results"))
    await owner.broker.publish(outgoing("jobs.default", ["j1"]))
    side = await links.side("a", "w1")
    owner.desk.held_against("j1", 60)
    taker = await Taker.on(side, "jobs.default")
    await until_stands(
        owner.broker, "jobs.default", 0, 1
    )  # parked: a lease of before stands against it
    await owner.broker.publish(outgoing("results", ["r1"]))
    porter = await (await Taker.on(owner.broker, "results")).has(1)
    owner.desk.never_arrived = [("j1", 1)]
    wire = side._wire
    assert wire is not None
    wire.close()
    await wait_until(lambda: side.is_connected and side._wire is not wire)
    assert owner.desk.given_back == []
    del owner.desk.verdicts["j1"]
    porter.ack("r1")
    await taker.has(1)
    assert (owner.desk.given_back, owner.desk.lost) == ([("j1", 1)], [])
