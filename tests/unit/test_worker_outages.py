"""A worker whose owner's store is out of order for a while."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dts_core.brokers.base import RESULTS, Outgoing
from dts_core.errors import StoreUnavailable
from dts_core.states import JobEvent
from dts_core.testing import wait_until
from tests.support.taking import until_stands
from tests.support.worker_process import in_process
from tests.support.worker_road import Road

ECHO = "def main(value):\n    return value\n"


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with Road(tmp_path) as found:
        yield found


async def test_results_wait_for_the_store(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at the owner ends no worker: what ran is reported once there is room, under its claim."""
    refused = 0
    publish_soon = road.broker.publish_soon

    def full(items: Sequence[Outgoing]) -> Any:
        nonlocal refused
        if any(item.queue == RESULTS for item in items) and refused < 2:
            refused += 1
            raise StoreUnavailable("the disk of the data folder is full.")
        return publish_soon(items)

    monkeypatch.setattr(road.broker, "publish_soon", full)
    async with in_process(road) as worker:
        job = await road.submit(ECHO, 7)
        result = await road.result(job)
        assert (result.event, result.result, result.epoch) == (JobEvent.FINISH, b"7", 1)
        await wait_until(lambda: worker.worker.held() == [])
    assert refused == 2
    assert (road.desk.lost, road.desk.given_back) == ([], [])


async def test_a_job_that_comes_again_ends_its_former_delivery(road: Road) -> None:
    """A worker that was silent for a lease gets its job anew, twice: the last claim reports, nothing stays unacked."""
    source = (
        "import time\ndef main(seconds):\n    print('ready', flush=True)\n    time.sleep(seconds)\n"
    )
    async with in_process(road) as worker:
        message = road.message(source, 1.0)
        await road.send(message)
        await road.until_logged(message.id, "ready")
        await road.send(message)
        await road.send(message)
        result = await road.result(message.id)
        assert (result.event, result.epoch) == (JobEvent.FINISH, 3)
        await wait_until(lambda: worker.worker.held() == [])
        await until_stands(road.broker, "jobs.default", 0)
    assert [each.epoch for each in road.of(message.id)] == [3]
