"""A host in mode agent whose cable is pulled: it is in a network namespace, and its route leads nowhere for a while.

`DTS_TEST_CUT_SECONDS=300` pulls it for longer than any link holds.
"""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.agent_world import HOST, Embedded
from tests.support.processes import eventually
from tests.support.sshd import ssh_server
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


def test_nothing_is_lost_with_the_cable(network: Network, tmp_path: Path) -> None:
    """No packet passes in the midst of a job: it ends once, with one result, whether its link held or not.

    When it did not, the worker there has ended by itself, with its job, before another one is launched.
    """
    nsenter = [shutil.which("nsenter") or "nsenter", f"--net=/run/netns/{network.name}"]
    with ssh_server(addresses=[network.there], prefix=nsenter) as sshd:
        world = Embedded(tmp_path, sshd)
        try:
            world.begin()
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
                eventually(
                    lambda: job.is_running(client), what="the job runs, there or there again"
                )
                runs = len(job.pids())
                assert runs <= 2
                job.passes(client, runs)
                assert client.job(job.id).losses == runs - 1
                assert client.job(job.id).host == HOST
        except BaseException:
            print(world.said)
            raise
        finally:
            world.end()
