"""Hosts in mode agent, as an administrator has them: real processes, a real OpenSSH, and what is done to them."""

import os
import signal
from collections.abc import Callable, Iterator

import psutil
import pytest

from dts_core.clients import SyncAdminClient, submission
from tests.support.agent_world import HOST, Embedded, OnRabbitmq, World
from tests.support.mongodb import MongoAddress
from tests.support.processes import eventually
from tests.support.rabbitmq import RabbitNode
from tests.support.sshd import ssh_server

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]


@pytest.fixture(scope="module", params=["embedded", "rabbitmq"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Started, with its functions and one host."""
    folder = tmp_path_factory.mktemp("agents")
    with ssh_server(options=["MaxStartups 100"]) as sshd:
        made: World
        drop: Callable[[], None] = lambda: None  # noqa: E731
        if request.param == "embedded":
            made = Embedded(folder, sshd)
        else:
            rabbit: RabbitNode = request.getfixturevalue("rabbit")
            mongodb: MongoAddress = request.getfixturevalue("mongodb")
            url = rabbit.vhost()
            made = OnRabbitmq(folder, sshd, url, mongodb.fresh())
            drop = lambda: rabbit.drop(url)  # noqa: E731
        try:
            made.begin()
            yield made
        except BaseException:
            print(made.said)
            raise
        finally:
            made.end()
            drop()


@pytest.fixture
def client(world: World) -> Iterator[SyncAdminClient]:
    """An administrator's, once the worker is there."""
    with world.client() as opened:
        world.until_linked(opened)
        yield opened


def test_jobs_run_there_as_anywhere(world: World, client: SyncAdminClient) -> None:
    """Results, lines of the log, the host's figures: as of any worker; its name is that of the virtual host."""
    ids = client.submit_many([submission("test/add", args=[n, 1]) for n in range(50)]).ids
    jobs = [client.wait_for(each, timeout_seconds=60) for each in ids]
    assert [(job.state, job.result) for job in jobs] == [("done", n + 1) for n in range(50)]
    assert {(job.host, job.epoch, job.losses) for job in jobs} == {(HOST, 1, 0)}
    eventually(
        lambda: "adding" in [line.text for line in client.logs(job=ids[0]).items],
        what="the job's line",
    )
    beat = next(each.beat for each in client.hosts().items if each.name == HOST)
    assert beat.memory_total > 0
    assert beat.worker.startswith(f"{HOST}-")


def test_nothing_is_lost_with_a_worker_that_is_killed(
    world: World, client: SyncAdminClient
) -> None:
    """kill -9 in the midst of a job: another worker is launched and runs it again; the first run gives no result."""
    job = world.gated(client)
    first = job.until_begun(1)
    for pid in world.worker_pids():
        os.kill(pid, signal.SIGKILL)
    job.until_begun(2)
    eventually(lambda: not psutil.pid_exists(first), what="the first run ended with its worker")
    job.passes(client, 2)


def test_nothing_is_lost_with_the_gateway(world: World, client: SyncAdminClient) -> None:
    """kill -9 of its process: the worker there ends with its session, and the next gateway launches another one."""
    job = world.gated(client)
    first = job.until_begun(1)
    world.gateway.kill()
    if isinstance(world, OnRabbitmq):
        world.engine.running.remove(world.gateway)
    eventually(lambda: not psutil.pid_exists(first), what="the job ended with its gateway")
    world.start_gateway()
    with world.client() as again:
        job.until_begun(2)
        job.passes(again, 2)


def test_nothing_is_lost_with_sshd(world: World, client: SyncAdminClient) -> None:
    """The host's sshd and its sessions are killed: it is told why, tried again, and goes on."""
    job = world.gated(client)
    job.until_begun(1)
    world.sshd.stop()
    eventually(lambda: "lost" in world.words(client), what="it is told")
    world.sshd.start()
    job.until_begun(2)
    job.passes(client, 2)


def test_a_disabled_host_finishes_what_it_runs(world: World, client: SyncAdminClient) -> None:
    """It takes nothing new, ends its job, and then nothing of it runs there; enabled, it comes back."""
    job = world.gated(client)
    job.until_begun(1)
    client.vhosts.update(HOST, disabled=True)
    eventually(lambda: next(
        each.beat.draining for each in client.hosts().items if each.name == HOST
    ), what="it drains")  # fmt: skip
    waiting = client.submit_many([submission("test/add", args=[1, 1])]).ids[0]
    job.passes(client, 1)
    eventually(lambda: not world.worker_pids(), what="the worker has ended")
    assert client.job(waiting).state == "queued"
    client.vhosts.update(HOST, disabled=False)
    assert client.wait_for(waiting, timeout_seconds=60).result == 2


def test_a_description_disturbs_nothing(world: World, client: SyncAdminClient) -> None:
    """What its worker does not depend on may change while it runs; what it depends on launches another one."""
    before = world.worker_pids()
    client.vhosts.update(HOST, description="a rack in the cellar")
    client.vhosts.update(HOST, labels={"rack": "1"})
    job = world.gated(client)
    job.until_begun(1)
    assert world.worker_pids() == before
    job.passes(client, 1)
    client.vhosts.update(HOST, python="python3.11")
    eventually(lambda: len(now := world.worker_pids()) == 1 and now != before, what="another one")
