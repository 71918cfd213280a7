"""Secret arguments over HTTP: taken once, shown never, kept sealed, and good for every way that a job runs again."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dts_core.brokers.base import Delivery
from dts_core.codec import decode
from dts_core.model import Job, JobMessage
from dts_core.sealed import Call, Opener, OpeningKey, Sealer
from dts_core.services.messages import job_message
from dts_core.signing import Signer, Trust
from dts_core.signing.keys import new_pem
from dts_core.testing import START, wait_until
from tests.support.canaries import Canaries, files_under
from tests.support.server import Server, serve

KEY = OpeningKey.new()
SECRET = "Canary-of an/argument+1"
SOURCE = """
from dts_core import Secret
def main(host: str, password: Secret, *more: Secret, pin: int | Secret = 0, **rest: int) -> int:
    return 1
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path, sealer=Sealer([KEY.public])) as made:
        await made.namespace()
        await made.function("sample/login", SOURCE)
        yield made


async def submit(server: Server, status: int = 201, **fields: Any) -> dict[str, Any]:
    body = {"function": "sample/login", "args": ["db-1", SECRET], **fields}
    answer = await server.call("POST", "/jobs", "ann", json=body)
    assert answer.status_code == status, answer.text
    assert SECRET not in answer.text
    made: dict[str, Any] = answer.json()
    return made


async def stored(server: Server, job_id: str) -> Job:
    job = await server.store.get_job(job_id)
    assert job is not None
    return job


def opened(job: Job | JobMessage) -> tuple[Any, Any]:
    """What a worker hands to the function."""
    assert job.sealed is not None
    call, _ = Opener([KEY]).open(Call(job.function, job.args, job.kwargs), job.sealed)
    return msgspec.json.decode(call.args), msgspec.json.decode(call.kwargs)


async def test_answers_show_stars_and_the_worker_gets_the_text(
    server: Server, tmp_path: Path
) -> None:
    """In the answer, the list, the record, the message; no file of the store has the text."""
    made = await submit(server, args=["db-1", SECRET, SECRET + "2"], kwargs={"pin": SECRET, "n": 2})
    shown = (["db-1", "***", "***"], {"pin": "***", "n": 2})
    assert (made["args"], made["kwargs"]) == shown
    for path in (f"/jobs/{made['id']}", "/jobs"):
        answer = await server.call("GET", path, "ann")
        assert SECRET not in answer.text
        assert '"***"' in answer.text
    taken: list[Delivery] = []
    await server.broker.consume("jobs.default", taken.extend, prefetch=5)
    await wait_until(lambda: bool(taken))
    message = decode(taken[0].message.body, JobMessage)
    whole = (["db-1", SECRET, SECRET + "2"], {"pin": SECRET, "n": 2})
    assert opened(message) == whole
    assert opened(await stored(server, made["id"])) == whole
    assert Canaries(SECRET).found(files_under(tmp_path)) == []


async def test_a_scheduled_one_and_a_batch_are_sealed_alike(server: Server) -> None:
    """What starts later waits sealed; each job of a batch has a box of its own."""
    later = await submit(server, delay_seconds=60)
    assert opened(await stored(server, later["id"]))[0] == ["db-1", SECRET]
    batch = {
        "jobs": [{"function": "sample/login", "args": ["h", f"{SECRET}{n}"]} for n in range(3)]
    }
    ids = (await server.call("POST", "/jobs", "ann", json=batch)).json()["ids"]
    assert [opened(await stored(server, each))[0][1] for each in ids] == [
        f"{SECRET}{n}" for n in range(3)
    ]


async def test_running_again_takes_the_secret_along(server: Server) -> None:
    """With the same version, and with another that keeps the same arguments secret; else it has to be given anew."""
    former = await submit(server)
    same = (await server.call("POST", f"/jobs/{former['id']}/again", "bob", json={})).json()
    assert opened(await stored(server, same["id"]))[0] == ["db-1", SECRET]
    body = {"source": SOURCE.replace("return 1", "return 2"), "revision": 1}
    assert (await server.call("PATCH", "/admin/functions/sample/login", json=body)).is_success
    path, version = f"/jobs/{former['id']}/again", {"version": "default"}
    new = await server.call("POST", path, "bob", json=version)
    assert new.json()["version"] != former["version"]
    assert opened(await stored(server, new.json()["id"]))[0] == ["db-1", SECRET]
    body = {"source": SOURCE.replace("password: Secret", "password: str"), "revision": 2}
    assert (await server.call("PATCH", "/admin/functions/sample/login", json=body)).is_success
    refused = await server.call("POST", path, "bob", json=version)
    assert refused.status_code == 422
    assert "secret" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("annotation", "given", "shown"),
    [
        ("Secret", SECRET, "***"),
        ("list[Secret]", [SECRET], "***"),
        ("str | Secret", SECRET, "***"),
    ],
)
async def test_what_only_the_canary_keeps_secret_is_sealed_for_both(
    server: Server, annotation: str, given: Any, shown: str
) -> None:
    """Which of the two versions runs is decided later: the call is sealed, however the type says so."""
    plain = "def main(host: str, password) -> int:\n    return 1\n"
    await server.function("sample/tried", plain)
    tried = f"from dts_core import Secret\n{plain.replace('password', f'password: {annotation}')}"
    body = {"source": tried, "canary": "new", "canary_hosts": ["h9"], "revision": 1}
    answer = await server.call("PATCH", "/admin/functions/sample/tried", json=body)
    assert answer.is_success, answer.text
    made = await submit(server, function="sample/tried", args=["db-1", given])
    assert made["args"] == ["db-1", shown]
    job = await stored(server, made["id"])
    assert job.trial is not None
    assert opened(job)[0] == ["db-1", given]


async def test_a_key_for_once_tells_nothing_of_the_secret(server: Server) -> None:
    """What is kept to know the request by is over its visible part: no guess at the secret can be tried on it."""
    headers, body = (
        {"Idempotency-Key": "k1"},
        {"function": "sample/login", "args": ["db-1", SECRET]},
    )
    first = await server.call("POST", "/jobs", "ann", json=body, headers=headers)
    again = await server.call("POST", "/jobs", "ann", json=body, headers=headers)
    assert first.json()["id"] == again.json()["id"]
    body["args"] = ["db-1", "another"]
    other = await server.call("POST", "/jobs", "ann", json=body, headers=headers)
    assert other.json()["id"] == first.json()["id"]
    body["args"] = ["db-2", SECRET]
    assert (
        await server.call("POST", "/jobs", "ann", json=body, headers=headers)
    ).status_code == 409


async def test_a_refusal_does_not_repeat_the_secret(server: Server) -> None:
    """Whatever is wrong with it, or beside it."""
    refused = await submit(server, 422, args=[1, 987654321])
    assert "987654321" not in str(refused)
    assert set(refused["fields"]) == {"host", "password"}
    await submit(server, 422, args=["h", SECRET], kwargs={"password": SECRET})
    await submit(server, 422, args=["h", [SECRET]])


async def test_nobody_hands_in_a_box(server: Server) -> None:
    """A submission has no such field; a value that looks like stars is a value like any other."""
    body = {
        "function": "sample/login",
        "args": ["h", "x"],
        "sealed": {"key": "k", "places": {}, "box": ""},
    }
    assert (await server.call("POST", "/jobs", "ann", json=body)).status_code == 422
    made = await submit(server, args=["***", "***"])
    assert opened(await stored(server, made["id"]))[0] == ["***", "***"]


async def test_without_a_key_secrets_are_not_taken(tmp_path: Path) -> None:
    """The server says what is missing; nothing is stored in clear instead. Other functions go on."""
    async with serve(tmp_path) as server:
        await server.namespace()
        await server.function("sample/login", SOURCE)
        await server.function("sample/noop")
        refused = await submit(server, 422)
        assert "no key" in refused["detail"]
        assert sum((await server.store.count_jobs()).states.values()) == 0
        plain = await server.call("POST", "/jobs", "ann", json={"function": "sample/noop"})
        assert plain.status_code == 201


async def test_jobs_are_signed_where_that_is_set(tmp_path: Path) -> None:
    """Alone, in a batch, later, again: the envelope lies with the job, sealed or not, and every message carries it."""
    signer = Signer(new_pem())
    trust = Trust([signer.public])
    async with serve(tmp_path, sealer=Sealer([KEY.public]), envelopes=signer) as server:
        await server.namespace()
        await server.function("sample/login", SOURCE)
        await server.function("sample/noop")
        one = (await submit(server))["id"]
        later = (await submit(server, delay_seconds=60, queue="night"))["id"]
        again = (await server.call("POST", f"/jobs/{one}/again", "bob", json={})).json()["id"]
        batch = {"jobs": [{"function": "sample/noop"}] * 2}
        ids = (await server.call("POST", "/jobs", "ann", json=batch)).json()["ids"]
        for job_id in (one, later, again, *ids):
            job = await stored(server, job_id)
            for attempt in (0, 2):
                sent = decode(job_message(job, at=START, attempt=attempt).message.body, JobMessage)
                trust.check_job(sent, job.queue)
        answer = await server.call("GET", f"/jobs/{one}", "ann")
        assert "envelope" not in answer.json()
