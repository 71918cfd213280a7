"""The whole road on RabbitMQ and MongoDB by configuration alone: server, each daemon and workers as own processes.

The same on RabbitMQ with an embedded store, in which one process does everything but the work.
"""

import asyncio
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from dts_core.clients import SyncAdminClient, submission
from tests.support.distributed import DAEMONS, Distributed, distributed
from tests.support.grants import Grants
from tests.support.mongodb import MongoAddress
from tests.support.processes import eventually
from tests.support.rabbitmq import RabbitNode

ECHO = "def main(value):\n    return value\n"
ANSWER_SECONDS = 60.0
pytestmark = [pytest.mark.external("rabbitmq"), pytest.mark.slow]


@pytest.fixture(scope="module", params=["mongodb", "embedded store"])
def engine(
    request: pytest.FixtureRequest, rabbit: RabbitNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Distributed]:
    """Everything started at once, in no order, with users that may do no more than they need; two workers."""
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
        started.server()
        if store:
            for name in DAEMONS:
                started.daemon([name])
        started.worker("host1", DTS_BROKER_URL=grants.worker("host1"), **env)
        started.worker("host2", DTS_BROKER_URL=grants.worker("host2"))
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


def test_progress_and_lines_of_a_job(client: SyncAdminClient, tmp_path: Path) -> None:
    """Both are seen while it runs; what it prints is found by its id."""
    gate = tmp_path / "gate"
    function = add(
        client,
        "talker",
        """
        import time
        from pathlib import Path

        from dts_core import job

        def main(gate: str):
            print("a line of the job")
            job.progress(0.5, "half")
            while not Path(gate).exists():
                time.sleep(0.05)
            return "said"
        """,
    )
    job = client.submit(function, args=[str(gate)])
    eventually(lambda: client.job(job.id).progress == 0.5, seconds=ANSWER_SECONDS, what="progress")
    gate.touch()
    assert client.wait_for(job.id, timeout_seconds=ANSWER_SECONDS).result == "said"
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
