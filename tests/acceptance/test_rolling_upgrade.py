"""Workers one message version older and one newer beside this version's servers and daemons, as real processes."""

import textwrap
from collections.abc import Iterator

import pytest

from dts_core.clients import SyncAdminClient, submission
from dts_core.views import JobView
from tests.support.distributed import DAEMONS, GATED, Distributed, distributed
from tests.support.grants import Grants
from tests.support.mongodb import MongoAddress
from tests.support.other_version import NEWER, OLDER
from tests.support.processes import eventually
from tests.support.rabbitmq import RabbitNode, vhost_of

VERSIONS = (OLDER, NEWER)
"""Each is the name of its host too."""
ANSWER_SECONDS = 60.0
pytestmark = [pytest.mark.external("rabbitmq"), pytest.mark.slow]
each_version = pytest.mark.parametrize("host", VERSIONS)


@pytest.fixture(scope="module", params=["mongodb", "embedded store"])
def engine(
    request: pytest.FixtureRequest, rabbit: RabbitNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Distributed]:
    """The control side of this version; a worker of each other one. At the end nothing was a dead letter."""
    url = rabbit.vhost()
    store = ""
    if request.param == "mongodb":
        address: MongoAddress = request.getfixturevalue("mongodb")
        store = address.fresh()
    folder = tmp_path_factory.mktemp("rolling")
    grants = Grants(rabbit, url, folder)
    with distributed(folder, grants.control(), store) as started:
        started.plain = url
        started.server()
        if store:
            started.daemon(DAEMONS)
        for host in VERSIONS:
            log = folder / f"{host}.log"
            log.touch()
            env = {"DTS_AGENT_PATHS": str(log), "DTS_AGENT_LEVEL": "info"}
            started.worker(host, version=host, DTS_BROKER_URL=grants.worker(host), **env)
        with started.client(workers=2) as client:
            client.namespaces.add("test")
        yield started
        started.check()
        with started.client(workers=0) as client:
            letters = client.dead_letters().items
            assert [(letter.queue, letter.reason) for letter in letters] == []
        assert set(started.stop()) == {0}, started.said()
    rabbit.drop(url)


@pytest.fixture
def client(engine: Distributed) -> Iterator[SyncAdminClient]:
    """An administrator's."""
    with engine.client(workers=0) as opened:
        yield opened


def add(client: SyncAdminClient, name: str, source: str) -> str:
    """A function; once for both versions."""
    function = f"test/{name}"
    if function not in {each.id for each in client.functions.list(namespace="test").items}:
        client.functions.add(function, textwrap.dedent(source))
    return function


def gated(client: SyncAdminClient) -> str:
    """A function that says half-time and waits for a file."""
    return add(client, "gated", GATED)


@each_version
def test_jobs_and_their_results(client: SyncAdminClient, host: str) -> None:
    """A batch is done, each job in one attempt on that host; a failure comes with its traceback."""
    echo = add(client, "echo", "def main(value):\n    return value\n")
    ids = client.submit_many([submission(echo, args=[n], host=host) for n in range(20)]).ids
    jobs = [client.wait_for(each, timeout_seconds=ANSWER_SECONDS) for each in ids]
    told = [(job.state, job.result, job.host, job.epoch, job.attempt, job.losses) for job in jobs]
    assert told == [("done", n, host, 1, 1, 0) for n in range(20)]
    broken = add(client, "broken", "def main():\n    raise ValueError('no such thing')\n")
    failed = client.submit(broken, host=host, wait=60)
    assert failed.error is not None
    assert (failed.state, failed.error.type) == ("failed", "ValueError")
    assert "no such thing" in failed.error.message


@each_version
def test_progress_lines_and_a_cancel(
    engine: Distributed, client: SyncAdminClient, host: str
) -> None:
    """What a job says on its way comes up, and the order to stop goes down."""
    job = client.submit(gated(client), args=[str(engine.folder / "never")], host=host)
    eventually(lambda: client.job(job.id).progress == 0.5, seconds=ANSWER_SECONDS, what="progress")
    lines = eventually(
        lambda: [line.text for line in client.logs(job=job.id).items], what="the job's lines"
    )
    assert "a line of the job" in lines
    client.cancel([job.id])
    ended = client.wait_for(job.id, timeout_seconds=ANSWER_SECONDS)
    assert (ended.state, ended.host, ended.attempt) == ("cancelled", host, 1)


@each_version
def test_heartbeats_and_log_files(engine: Distributed, client: SyncAdminClient, host: str) -> None:
    """The host is up with its figures, and goes on being heard; what is appended to a followed file comes."""
    before = client.host(host)
    assert (before.state, before.beat.slots) == ("up", 2)
    assert before.beat.memory_total > 0
    eventually(lambda: client.host(host).beat.sequence > before.beat.sequence, what="the next beat")
    with (engine.folder / f"{host}.log").open("a") as file:
        file.write(f"ERROR the pump of {host} stands still\n")
    found = eventually(lambda: client.logs(text=f"pump of {host}").items, what="the line")
    assert [line.host for line in found] == [host]


@each_version
def test_new_version_of_a_function(client: SyncAdminClient, host: str) -> None:
    """Announced to the workers, and its source fetched by them."""
    function = f"test/edited.{host}"
    client.functions.add(function, "def main():\n    return 1\n")
    assert client.submit(function, host=host, wait=60).result == 1
    revision = client.functions.get(function).revision
    client.functions.update(function, source="def main():\n    return 2\n", revision=revision)
    assert client.submit(function, host=host, wait=60).result == 2


def test_a_canary_on_a_host_of_an_older_worker_is_recorded_as_what_ran(
    client: SyncAdminClient,
) -> None:
    """It knows of no trial, runs the default version and says nothing; the newer one runs the canary and says so."""
    function = add(client, "tried", "def main():\n    return 'default'\n")
    found = client.functions.get(function)
    client.functions.update(
        function, revision=found.revision, source="def main():\n    return 'canary'\n",
        canary="new", canary_hosts=list(VERSIONS),
    )  # fmt: skip
    found = client.functions.get(function)
    jobs: list[JobView] = []

    def both_ran() -> bool:
        jobs.append(client.submit(function, wait=60))
        return {job.host for job in jobs} == set(VERSIONS)

    eventually(both_ran, seconds=ANSWER_SECONDS, what="a job on each of them")
    wanted = {OLDER: ("default", found.default), NEWER: ("canary", found.canary)}
    assert [(job.result, job.version) for job in jobs] == [wanted[job.host] for job in jobs]


@each_version
def test_job_runs_on_over_a_lost_connection(
    rabbit: RabbitNode, engine: Distributed, client: SyncAdminClient, host: str
) -> None:
    """The worker asks what is still its own and goes on with it: the job ends in its first claim."""
    gate = engine.folder / f"{host}.gate"
    job = client.submit(gated(client), args=[str(gate)], host=host)
    eventually(lambda: client.job(job.id).progress == 0.5, seconds=ANSWER_SECONDS, what="progress")
    vhost = vhost_of(engine.plain)
    lost = eventually(
        lambda: [name for name, user in logins(rabbit, vhost) if user == f"dts.host.{host}"]
    )
    for name in lost:
        rabbit.end_connection(name)

    def is_back() -> bool:
        found = {name for name, user in logins(rabbit, vhost) if user == f"dts.host.{host}"}
        return bool(found) and found.isdisjoint(lost)

    eventually(is_back, what="a new connection")
    assert client.job(job.id).state == "running"
    gate.touch()
    ended = client.wait_for(job.id, timeout_seconds=ANSWER_SECONDS)
    assert (ended.state, ended.result, ended.epoch, ended.losses) == ("done", "through", 1, 0)


def logins(rabbit: RabbitNode, vhost: str) -> list[tuple[str, str]]:
    """(name, user) of the connections to a virtual host."""
    found = rabbit.http("GET", f"/api/vhosts/{vhost}/connections")
    return [(each["name"], each["user"]) for each in found if "name" in each]


@each_version
def test_paused_queue_and_drained_host(client: SyncAdminClient, host: str) -> None:
    """Nothing is handed out of the paused queue; the drained host says that it takes nothing new."""
    queue = f"host.{host}"
    client.pause_queue(queue)
    echo = add(client, "echo", "def main(value):\n    return value\n")
    job = client.submit(echo, args=["later"], host=host)
    eventually(lambda: client.job(job.id).state == "queued")
    eventually(lambda: any(each.ready for each in client.queues().items if queue in each.name))
    client.resume_queue(queue)
    assert client.wait_for(job.id, timeout_seconds=ANSWER_SECONDS).result == "later"
    client.drain_host(host)
    eventually(lambda: client.host(host).state == "drained", what="it drains")
    if host == OLDER:  # `Drain.on` is the field that it does not know
        return
    client.undrain_host(host)
    eventually(lambda: client.host(host).state == "up", what="it takes jobs again")
