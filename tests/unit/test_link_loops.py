"""The link on both event loops."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from dts_core.brokers.base import QueueSpec
from dts_core.testing import wait_until
from tests.contract.broker_backends import OverLink, Owner
from tests.support.taking import Taker, outgoing, until_stands

NAMES = [f"m{number:03}" for number in range(300)]


async def road(folder: Path) -> None:
    owner = Owner(folder)
    await owner.open()
    links = OverLink(owner)
    side = await links.side("a", "w1")
    await side.declare(QueueSpec("work"))
    await side.publish(outgoing("work", NAMES))
    taker = await (await Taker.on(side, "work", prefetch=50)).has(50)
    links.roads[id(side)].cut()
    await wait_until(lambda: taker.ids[50:100] == NAMES[:50], what="redelivery after the cut")
    taker.acks = True
    taker.ack()
    await until_stands(side, "work", 0)
    assert set(taker.ids) == set(NAMES)
    assert owner.server.refused_links == 0
    await links.close()
    await wait_until(lambda: owner.server.links == [])
    await owner.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_link_works_on_either_loop(run: Callable[[Any], None], tmp_path: Path) -> None:
    """Peer credentials, deliveries, a cut and the way back behave alike on asyncio's loop and on uvloop."""
    run(road(tmp_path))


def test_a_failing_callback_does_not_end_the_link(tmp_path: Path) -> None:
    """A mistake in what is told about the stream leaves the link alive: it comes back once more."""

    async def scenario() -> None:
        owner = Owner(tmp_path)
        await owner.open()
        links = OverLink(owner)
        side = await links.side("a", "w1")
        calls: list[bool] = []

        def fail_once(connected: bool, why: str) -> None:
            calls.append(connected)
            if len(calls) == 2:
                raise ValueError("mine")

        side.on_state = fail_once
        links.roads[id(side)].cut()
        await wait_until(lambda: len(calls) >= 3 and side.is_connected)
        await side.stats()
        await links.close()
        await owner.close()

    asyncio.run(scenario())
