"""The whole road on RabbitMQ and MongoDB by configuration alone: server, each daemon and workers as own processes.

The same on RabbitMQ with an embedded store, in which one process does everything but the work.
"""

import asyncio
import hashlib
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika
import msgspec
import pytest
from aio_pika.abc import AbstractIncomingMessage

from dts_core.clients import SyncAdminClient, submission
from dts_core.doctor.arguments import check_opening
from dts_core.doctor.findings import Level
from dts_core.doctor.signing import check_trust
from dts_core.sealed.files import add_key, read_opening_keys
from dts_core.settings import LinkSettings, OpeningSettings, TrustSettings, WorkerFile
from dts_core.signing import Signer
from dts_core.signing.files import load_signer, write_keys
from dts_core.signing.keys import new_pem
from tests.support.canaries import Canaries, files_under
from tests.support.distributed import DAEMONS, GATED, Distributed, distributed
from tests.support.grants import Grants
from tests.support.mongodb import MongoAddress, documents_in
from tests.support.plain_jobs import job_in, put, take
from tests.support.processes import eventually
from tests.support.rabbitmq import RabbitNode

ECHO = "def main(value):\n    return value\n"
LOGIN = """
import hashlib
from dts_core import Secret, job

def main(host: str, password: Secret):
    print("with", password)
    job.progress(0.5, f"as {password}")
    if host.startswith("bad"):
        raise ValueError(f"no entry for {password}")
    return hashlib.sha256(password.encode()).hexdigest()
"""
TOUCH = "from pathlib import Path\n\ndef main(path: str):\n    Path(path).touch()\n"
SECRET = "Canary-of an/argument+on the road"
ANSWER_SECONDS = 60.0
pytestmark = [pytest.mark.external("rabbitmq"), pytest.mark.slow]


@pytest.fixture(scope="module", params=["mongodb", "embedded store"])
def engine(
    request: pytest.FixtureRequest, rabbit: RabbitNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Distributed]:
    """Everything started at once, in no order, with users that may do no more than they need; two workers.

    Only that of host2 opens secret arguments, and it runs no job that the server has not signed.
    """
    url = rabbit.vhost()
    store = ""
    if request.param == "mongodb":
        address: MongoAddress = request.getfixturevalue("mongodb")
        store = address.fresh()
    folder = tmp_path_factory.mktemp("distributed")
    (folder / "app.log").touch()
    env = {"DTS_AGENT_PATHS": str(folder / "app.log"), "DTS_AGENT_LEVEL": "info"}
    grants = Grants(rabbit, url, folder)
    with distributed(folder, grants.control(), store) as started:
        started.plain = url
        started.server(DTS_SIGNING_JOBS="true")
        if store:
            for name in DAEMONS:
                started.daemon([name])
        started.worker("host1", DTS_BROKER_URL=grants.worker("host1"), **env)
        trusted = {
            "DTS_ARGUMENTS_KEY_FILE": str(started.arguments_key),
            "DTS_SIGNING_JOBS": "true",
        }
        started.worker("host2", DTS_BROKER_URL=grants.worker("host2"), **trusted)
        with started.client(workers=2) as client:
            client.namespaces.add("test")
            client.functions.add("test/echo", ECHO)
        yield started
        started.check()
        assert set(started.stop()) == {0}, started.said()
    rabbit.drop(url)


@pytest.fixture
def client(engine: Distributed) -> Iterator[SyncAdminClient]:
    """An administrator's."""
    with engine.client(workers=2) as opened:
        yield opened


def add(client: SyncAdminClient, name: str, source: str) -> str:
    client.functions.add(f"test/{name}", textwrap.dedent(source))
    return f"test/{name}"


def test_jobs_are_done_once_each(client: SyncAdminClient) -> None:
    """A batch with its results; each ran in one attempt."""
    ids = client.submit_many([submission("test/echo", args=[n]) for n in range(40)]).ids
    jobs = [client.wait_for(each, timeout_seconds=ANSWER_SECONDS) for each in ids]
    assert [(job.state, job.result) for job in jobs] == [("done", n) for n in range(40)]
    assert {(job.epoch, job.attempt, job.losses) for job in jobs} == {(1, 1, 0)}


async def test_the_doctor_of_a_worker_knows_whether_it_trusts_the_server(
    engine: Distributed, client: SyncAdminClient
) -> None:
    """It asks the control side by the broker which keys are used now, and compares."""
    key = client.functions.signing()
    assert [each.signed_by for each in client.functions.get("test/echo").versions] == [key.key]
    assert client.functions.resign().signed == 0
    stranger = str(Signer(new_pem()).public)
    for public, level in ((key.public, Level.OK), (stranger, Level.PROBLEM)):
        settings = WorkerFile(
            broker=LinkSettings(url=engine.plain), signing=TrustSettings(public_keys=[public])
        )
        found = await check_trust(settings)
        assert [each.level for each in found] == [Level.OK, level], found


async def test_the_doctor_of_a_worker_knows_what_it_opens(
    engine: Distributed, client: SyncAdminClient, tmp_path: Path
) -> None:
    """It asks which keys the servers seal to, and says which private half is not here."""
    key = read_opening_keys(engine.arguments_key)[0].public.id
    add_key(tmp_path / "other.key")
    wanted = [
        (engine.arguments_key, [Level.OK, Level.OK], "the private half of every key"),
        (tmp_path / "other.key", [Level.OK, Level.PROBLEM], f"seal to key {key}, whose private"),
        ("", [Level.WARNING], f"no private key, and servers seal to key {key}"),
    ]
    for file, levels, words in wanted:
        settings = WorkerFile(
            broker=LinkSettings(url=engine.plain), arguments=OpeningSettings(key_file=str(file))
        )
        found = await check_opening(settings)
        assert [each.level for each in found] == levels, found
        assert words in found[-1].what


def test_workers_follow_their_public_keys(engine: Distributed, client: SyncAdminClient) -> None:
    """Without a restart: a key that is taken out of the file counts no more, one that is put in counts at once."""
    ours = load_signer(engine.key).public
    numbers = iter(range(1_000))

    def error() -> str:
        function = add(client, f"fresh_{next(numbers)}", "def main():\n    return 1\n")
        job = client.submit(function, host="host1", wait=60)
        return "" if job.error is None else f"{job.error.type}: {job.error.message}"

    assert error() == ""
    write_keys(engine.public_keys, [Signer(new_pem()).public])
    try:
        refused = eventually(error, seconds=ANSWER_SECONDS, what="the key counts no more")
        assert refused is not None
        assert refused.startswith("LoadFailed")
        assert f"signed by key '{ours.id}', which is not trusted here" in refused
    finally:
        write_keys(engine.public_keys, [ours])
    assert error() == ""


def test_secret_argument_is_nowhere_but_in_its_run(
    engine: Distributed, client: SyncAdminClient, rabbit: RabbitNode
) -> None:
    """The worker with the key gets the text; documents, messages, files, logs and answers have a box and stars."""
    function = add(client, "login", LOGIN)
    waiting = client.submit(function, args=["marker-1", SECRET], queue="night")
    jobs = [
        client.submit(function, args=[name, SECRET], host=host, wait=60)
        for name, host in (("marker-2", "host2"), ("bad-3", "host2"), ("marker-4", "host1"))
    ]
    assert jobs[0].result == hashlib.sha256(SECRET.encode()).hexdigest()
    failed = [(each.error.type, each.error.message) for each in jobs[1:] if each.error is not None]
    key = read_opening_keys(engine.arguments_key)[0].public.id
    assert failed[0] == ("ValueError", "no entry for ***")
    assert (failed[1][0], key in failed[1][1]) == ("SecretsNotOpened", True)
    for job in jobs[:2]:
        eventually(
            lambda job=job: "with ***" in [line.text for line in client.logs(job=job.id).items],  # type: ignore[misc]
            seconds=ANSWER_SECONDS,
            what="its line",
        )
    message = eventually(lambda: take(engine.plain, "jobs.night", keep=True), what="the message")
    assert message is not None
    places = {
        "message": [("as it is", message.body), ("unpacked", repr(job_in(message)).encode())],
        "documents": documents_in(engine.mongodb) if engine.mongodb else [],
        "files": files_under(engine.folder),
        "broker's files": files_under(rabbit.folder) if rabbit.is_ours else [],
        "answers": [(each.id, msgspec.json.encode(client.job(each.id))) for each in jobs],
    }
    found = {kind: Canaries(SECRET).found(each) for kind, each in places.items()}
    assert not any(found.values()), found
    for kind, each in places.items():  # what is no secret is found by the same search
        if each and (kind != "files" or not engine.mongodb):
            assert Canaries("marker-1", "marker-2").found(each), kind
    client.cancel([waiting.id])


def test_altered_envelope_is_refused_and_a_good_one_runs(
    engine: Distributed, client: SyncAdminClient, tmp_path: Path
) -> None:
    """Three jobs on their way are taken from the broker and put back: as it was, with other arguments, unsigned."""
    function, queue = add(client, "touch", TOUCH), "jobs.host.host2"
    good, evil, bare = (tmp_path / name for name in ("good", "evil", "bare"))

    def caught() -> AbstractIncomingMessage | None:
        """A message, once the worker has heard of the pause; before that it is quicker."""
        job = client.submit(function, args=[str(good)], host="host2")
        found = eventually(
            lambda: take(engine.plain, queue) or client.job(job.id).state == "done",
            seconds=ANSWER_SECONDS,
        )
        return None if isinstance(found, bool) else found

    assert client.submit(function, args=[str(good)], host="host2", wait=60).state == "done"
    eventually(lambda: client.pause_queue("host.host2"), what="the queue of that host is known")
    try:
        messages = [eventually(caught, what="a message of the paused queue") for _ in range(3)]
        good.unlink(missing_ok=True)
        changes: list[dict[str, Any]] = [
            {},
            {"args": msgspec.json.encode([str(evil)])},
            {"args": msgspec.json.encode([str(bare)]), "envelope": None},
        ]
        for message, change in zip(messages, changes, strict=True):
            assert message is not None
            put(engine.plain, queue, message, **change)
    finally:
        client.resume_queue("host.host2")
    ids = [job_in(message).id for message in messages if message is not None]
    ran, *refused = [client.wait_for(each, timeout_seconds=ANSWER_SECONDS) for each in ids]
    assert (ran.state, good.exists()) == ("done", True)
    for job, words in zip(refused, ("not for it", "is not signed"), strict=True):
        assert job.error is not None
        assert (job.state, job.error.type, job.attempt) == ("failed", "EnvelopeRefused", 1)
        assert words in job.error.message
        lines = eventually(
            lambda job=job: [line.text for line in client.logs(job=job.id).items],  # type: ignore[misc]
            seconds=ANSWER_SECONDS,
            what="what the worker says",
        )
        assert any("a job is refused" in line for line in lines)
    assert not evil.exists()
    assert not bare.exists()


def test_progress_and_lines_of_a_job(client: SyncAdminClient, tmp_path: Path) -> None:
    """Both are seen while it runs; what it prints is found by its id."""
    gate = tmp_path / "gate"
    function = add(client, "talker", GATED)
    job = client.submit(function, args=[str(gate)])
    eventually(lambda: client.job(job.id).progress == 0.5, seconds=ANSWER_SECONDS, what="progress")
    gate.touch()
    assert client.wait_for(job.id, timeout_seconds=ANSWER_SECONDS).result == "through"
    found = eventually(
        lambda: [line.text for line in client.logs(job=job.id).items],
        seconds=ANSWER_SECONDS,
        what="its lines",
    )
    assert "a line of the job" in found


def test_log_file_of_a_host(engine: Distributed, client: SyncAdminClient) -> None:
    """A line that is appended to a followed file comes with its host."""
    with (engine.folder / "app.log").open("a") as file:
        file.write("ERROR the pump stands still\n")
    lines = eventually(
        lambda: client.logs(text="pump stands").items, seconds=ANSWER_SECONDS, what="the line"
    )
    assert [line.host for line in lines] == ["host1"]


def test_cancel_of_a_running_job(client: SyncAdminClient) -> None:
    """By the fanout to its worker."""
    function = add(
        client, "sleeper", "import time\n\ndef main():\n    while True:\n        time.sleep(0.05)\n"
    )
    job = client.submit(function)
    eventually(lambda: client.job(job.id).state == "running", seconds=ANSWER_SECONDS)
    client.cancel([job.id])
    assert client.wait_for(job.id, timeout_seconds=ANSWER_SECONDS).state == "cancelled"


def test_retry_after_a_failure(client: SyncAdminClient, tmp_path: Path) -> None:
    """The first attempt fails, the second one is due a little later and done."""
    function = add(
        client,
        "second",
        """
        from pathlib import Path

        def main(mark: str):
            if not Path(mark).exists():
                Path(mark).touch()
                raise RuntimeError("the first time")
            return "the second time"
        """,
    )
    job = client.submit(function, args=[str(tmp_path / "mark")], retries=1, backoff_seconds=0.1)
    ended = client.wait_for(job.id, timeout_seconds=ANSWER_SECONDS)
    assert (ended.state, ended.result, ended.attempt) == ("done", "the second time", 2)


def test_edited_source_is_used_at_once(client: SyncAdminClient) -> None:
    """Without a restart, by every worker."""
    function = add(client, "edited", "def main():\n    return 1\n")
    assert client.submit(function, wait=60).result == 1
    revision = client.functions.get(function).revision
    client.functions.update(function, source="def main():\n    return 2\n", revision=revision)
    for host in ("host1", "host2"):
        assert client.submit(function, host=host, wait=60).result == 2


def test_hosts_and_parts_are_seen(engine: Distributed, client: SyncAdminClient) -> None:
    """Heartbeats make the wall; every process says how it is."""
    hosts = {host.name: host.state for host in client.hosts().items}
    assert hosts == {"host1": "up", "host2": "up"}
    status = client.status()

    def looks() -> bool:
        parts = {part.name: part.state for part in client.status().parts}
        return all(parts.get(name) == "up" for name in ("server", *DAEMONS, "store", "broker"))

    eventually(looks, seconds=ANSWER_SECONDS, what="every part is up")
    assert status.engine == (
        "RabbitMQ + MongoDB" if engine.mongodb else "RabbitMQ + embedded store"
    )


def test_function_of_the_control_side(client: SyncAdminClient) -> None:
    """`dts/status` runs on the internal worker."""
    job = client.submit("dts/status", wait=60)
    assert (job.state, job.host) == ("done", "control")


def test_a_canary_runs_on_its_host_and_becomes_the_default(client: SyncAdminClient) -> None:
    """By the name of the host that takes the job; the record and the counts say so; promoted, it runs everywhere."""
    function = add(client, "tried", "def main():\n    return 'default'\n")
    found = client.functions.get(function)
    client.functions.update(
        function, revision=found.revision, source="async def main():\n    return 'canary'\n",
        canary="new", canary_hosts=["host2"],
    )  # fmt: skip
    found = client.functions.get(function)
    assert found.canary not in ("", found.default)
    ids = client.submit_many([submission(function) for _ in range(30)]).ids
    jobs = [client.wait_for(each, timeout_seconds=ANSWER_SECONDS) for each in ids]
    jobs += [client.submit(function, host=host, wait=60) for host in ("host1", "host2")]
    for job in jobs:
        is_tried = job.host == "host2"
        wanted = ("canary", found.canary) if is_tried else ("default", found.default)
        assert (job.result, job.version) == wanted, job
    counts = {each.version: each.done for each in client.functions.outcomes(function).versions}
    tried = sum(job.host == "host2" for job in jobs)
    assert counts == {found.canary: tried, found.default: len(jobs) - tried}
    client.functions.update(function, revision=found.revision, default=found.canary)
    for host in ("host1", "host2"):
        job = client.submit(function, host=host, wait=60)
        assert (job.result, job.version) == ("canary", found.canary)


def test_a_deploy_reaches_every_worker_and_tells_who_fails(client: SyncAdminClient) -> None:
    """Ahead of its first job; a version that does not import is told with its reason, by each host that was asked."""
    function = add(client, "deployed", "def main():\n    return 1\n")
    version = client.functions.get(function).default
    report = client.wait_for(client.functions.deploy(function).id, timeout_seconds=120).result
    assert isinstance(report, dict)
    assert (report["version"], report["ready"]) == (version, ["host1", "host2"])
    for host in ("host1", "host2"):
        [worker] = report["hosts"][host]["workers"].values()
        assert worker == {"state": "ready", "why": "", "runs": version}
    broken = add(client, "broken", "import a_pump_that_is_not_there\n\ndef main():\n    pass\n")
    job = client.functions.deploy(broken, hosts=["host2"])
    report = client.wait_for(job.id, timeout_seconds=120).result
    assert isinstance(report, dict)
    assert (report["ready"], report["failed"], list(report["hosts"])) == ([], ["host2"], ["host2"])
    [worker] = report["hosts"]["host2"]["workers"].values()
    assert "a_pump_that_is_not_there" in worker["why"]


def test_large_result(client: SyncAdminClient) -> None:
    """What does not fit into a message comes in chunks."""
    function = add(client, "large", "def main(size: int):\n    return 'x' * size\n")
    job = client.submit(function, args=[3 << 20], wait=60)
    assert job.state == "done"
    assert isinstance(job.result, str)
    assert len(job.result) == 3 << 20


def ask(engine: Distributed, *messages: aio_pika.Message) -> list[AbstractIncomingMessage]:
    """What a program that knows nothing of dts does: send, and wait for the answers in a queue of its own."""

    async def run() -> list[AbstractIncomingMessage]:
        connection = await aio_pika.connect(engine.plain)
        async with connection:
            channel = await connection.channel()
            own = await channel.declare_queue(exclusive=True)
            for message in messages:
                message.reply_to = own.name
                await channel.default_exchange.publish(message, routing_key="submit")
            answers: list[AbstractIncomingMessage] = []
            async with asyncio.timeout(ANSWER_SECONDS), own.iterator(no_ack=True) as incoming:
                async for answer in incoming:
                    answers.append(answer)
                    if len(answers) == len(messages):
                        break
            return answers

    return asyncio.run(run())


def test_plain_program_sends_a_job_and_gets_the_answer(
    engine: Distributed, client: SyncAdminClient
) -> None:
    """reply_to and correlation_id, by nothing but AMQP."""
    headers: Any = {"authorization": f"Bearer {client.token}"}
    bodies = [json.dumps({"function": "test/echo", "args": [n]}).encode() for n in range(3)]
    answers = ask(
        engine,
        *(
            aio_pika.Message(body, headers=headers, correlation_id=f"c{n}", message_id=f"m{n}")
            for n, body in enumerate(bodies)
        ),
    )
    found = {each.correlation_id: json.loads(each.body) for each in answers}
    assert {key: (job["state"], job["result"]) for key, job in found.items()} == {
        f"c{n}": ("done", n) for n in range(3)
    }
    again = ask(
        engine,
        aio_pika.Message(bodies[0], headers=headers, correlation_id="again", message_id="m0"),
    )
    assert json.loads(again[0].body)["id"] == found["c0"]["id"]


def test_raw_body(engine: Distributed, client: SyncAdminClient) -> None:
    """Bytes that are no JSON are the one argument of the function that a header names."""
    headers: Any = {"authorization": f"Bearer {client.token}", "function": "test/echo"}
    answers = ask(
        engine,
        aio_pika.Message(b"just text", headers=headers, correlation_id="text"),
        aio_pika.Message(b"\xff\x00", headers=headers, correlation_id="bytes"),
    )
    found = {each.correlation_id: json.loads(each.body)["result"] for each in answers}
    assert found == {"text": "just text", "bytes": {"base64": "/wA="}}


@pytest.mark.parametrize(
    ("token", "body", "status"),
    [
        ("nobody", b'{"function": "test/echo", "args": [1]}', 401),
        ("", b"no json", 400),
        ("", b'{"function": "test/none"}', 404),
    ],
)
def test_refused_submission_is_answered(
    engine: Distributed, client: SyncAdminClient, token: str, body: bytes, status: int
) -> None:
    """A problem as JSON, with its reason; nothing is a dead letter."""
    before = len(client.dead_letters().items)
    headers: Any = {"authorization": f"Bearer {token or client.token}"}
    answer = ask(engine, aio_pika.Message(body, headers=headers, correlation_id="x"))[0]
    problem = json.loads(answer.body)
    assert (answer.correlation_id, problem["status"]) == ("x", status)
    assert problem["detail"]
    assert len(client.dead_letters().items) == before


def test_qos_of_the_files_is_what_the_broker_sees(engine: Distributed, rabbit: RabbitNode) -> None:
    """[consumer.porter] prefetch bounds the porter's own consumer, and so with the others."""
    vhost = engine.amqp.rsplit("/", 1)[1]

    def look() -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        for each in rabbit.http("GET", f"/api/consumers/{vhost}"):
            found.setdefault(each["queue"]["name"], set()).add(each["prefetch_count"])
        return found if {"results", "heartbeats", "logs", "jobs.dts"} <= set(found) else {}

    seen = eventually(look, seconds=ANSWER_SECONDS, what="the consumers")
    assert (seen["results"], seen["heartbeats"], seen["logs"]) == ({500}, {500}, {500})


def test_undecodable_message_is_a_dead_letter(engine: Distributed, client: SyncAdminClient) -> None:
    """With its reason, kept in the store, to be seen and discarded."""

    async def send() -> None:
        connection = await aio_pika.connect(engine.plain)
        async with connection:
            channel = await connection.channel()
            await channel.default_exchange.publish(
                aio_pika.Message(b"\xc1 no message", message_id="odd"), routing_key="results"
            )

    asyncio.run(send())
    letters = eventually(
        lambda: [each for each in client.dead_letters().items if each.message_id == "odd"],
        seconds=ANSWER_SECONDS,
        what="the dead letter",
    )
    assert letters[0].queue == "results"
    assert "CodecError" in letters[0].reason
