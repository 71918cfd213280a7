"""A host in mode agent whose cable is pulled: it is in a network namespace, and its route leads nowhere for a while.

`DTS_TEST_CUT_SECONDS=300` pulls it for longer than any link holds.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.agent_world import HOST, Embedded, OnRabbitmq, World
from tests.support.mongodb import MongoAddress
from tests.support.processes import eventually
from tests.support.rabbitmq import RabbitNode
from tests.support.sshd import SshServer, ssh_server
from tools.campaign_network import Network

pytestmark = [
    pytest.mark.external("sshd"),
    pytest.mark.external("network namespaces"),
    pytest.mark.slow,
]
CUT_SECONDS = float(os.environ.get("DTS_TEST_CUT_SECONDS", "5"))
LINK_SECONDS = 10.0
"""A silent link is given up after so long, at both ends."""


@pytest.fixture(name="network")
def network_fixture() -> Iterator[Network]:
    network = Network(os.getpid())
    try:
        network.make()
        yield network
    finally:
        network.remove()


@pytest.fixture(name="sshd")
def sshd_fixture(network: Network) -> Iterator[SshServer]:
    """The host, at the other end of the cable."""
    nsenter = [shutil.which("nsenter") or "nsenter", f"--net=/run/netns/{network.name}"]
    with ssh_server(addresses=[network.there], prefix=nsenter) as server:
        yield server


@pytest.fixture(name="world", params=["embedded", "rabbitmq"])
def world_fixture(
    request: pytest.FixtureRequest, sshd: SshServer, tmp_path: Path
) -> Iterator[World]:
    """A control side on either engine, at this end."""
    with contextlib.ExitStack() as stack:
        made: World
        if request.param == "embedded":
            made = Embedded(tmp_path, sshd)
        else:
            rabbit: RabbitNode = request.getfixturevalue("rabbit")
            mongodb: MongoAddress = request.getfixturevalue("mongodb")
            url = rabbit.vhost()
            stack.callback(rabbit.drop, url)
            made = OnRabbitmq(tmp_path, sshd, url, mongodb.fresh())
        try:
            made.begin()
            yield made
        except BaseException:
            print(made.said)
            raise
        finally:
            made.end()


def test_nothing_is_lost_with_the_cable(network: Network, world: World) -> None:
    """No packet passes in the midst of a job: it ends once, with one result, whether its link held or not.

    When it did not, the worker there has ended by itself, with its job, before another one is launched.
    """
    with world.client() as client:
        job = world.gated(client)
        first = job.until_begun(1)
        with network.cut(to_worker=True, from_worker=True):
            time.sleep(CUT_SECONDS)
            if CUT_SECONDS > 3 * LINK_SECONDS:
                eventually(lambda: not psutil.pid_exists(first), what="the job ended there")
                assert "lost" in world.words(client)
        if CUT_SECONDS > 3 * LINK_SECONDS:
            job.until_begun(2)
        world.until_linked(client)
        eventually(lambda: job.is_running(client), what="the job runs, there or there again")
        runs = len(job.pids())
        assert runs <= 2
        job.passes(client, runs)
        assert client.job(job.id).losses == runs - 1
        assert client.job(job.id).host == HOST
