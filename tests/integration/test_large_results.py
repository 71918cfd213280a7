"""Large results on the control side: through queue and store to the API, or to the dead letters."""

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dts_core import codec
from dts_core.brokers.base import (
    REQUESTS,
    RESULTS,
    ClaimRequest,
    Message,
    Outgoing,
    claim_headers,
)
from dts_core.daemons.porter import Porter
from dts_core.daemons.requests import Requests
from dts_core.model import CHUNK_MAX, BlobChunk, BlobReply, JobResult, JobResults
from dts_core.settings import PorterSettings
from dts_core.states import JobEvent
from dts_core.stores.embedded import EmbeddedIntake
from tests.support.server import Server, serve

CONTENT = b'["' + random.Random(1).randbytes(4 << 20).hex().encode() + b'"]'
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@asynccontextmanager
async def daemons(server: Server) -> AsyncIterator[None]:
    """The porter and the requests of a server, for the length of a block."""
    intake = EmbeddedIntake(server.database, server.store, server.broker)
    porter = Porter(server.broker, server.store, intake, PorterSettings(), server.clock)
    requests = Requests(server.broker, server.store, server.clock)
    tasks = [asyncio.ensure_future(each.run()) for each in (porter, requests)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as made:
        await made.namespace()
        await made.function()
        async with daemons(made):
            yield made


async def claimed(server: Server) -> str:
    """A job that runs with epoch 1."""
    answer = await server.call("POST", "/jobs", "ann", json={"function": "sample/noop"})
    job = str(answer.json()["id"])
    assert server.broker.claims is not None
    [granted] = await server.broker.claims.grant([ClaimRequest(job, "h1", "w1")])
    assert granted.epoch == 1
    return job


async def hand_over(server: Server, job: str) -> None:
    for at in range(0, len(CONTENT), CHUNK_MAX):
        chunk = BlobChunk(DIGEST, len(CONTENT), at, CONTENT[at : at + CHUNK_MAX], job, 1)
        message = Message(codec.encode(chunk), headers=claim_headers(job, 1))
        answer = await server.broker.request(REQUESTS, message)
        reply = codec.decode(answer.body, BlobReply)
        assert reply == BlobReply(DIGEST, min(at + CHUNK_MAX, len(CONTENT)))


async def report(server: Server, job: str) -> None:
    result = JobResult(job, 1, JobEvent.FINISH, blob=DIGEST, size=len(CONTENT))
    body = codec.encode(JobResults("h1", "w1", [result]))
    await server.broker.publish([Outgoing(RESULTS, Message(body, type="JobResults"))])


async def test_the_api_gives_the_very_bytes_and_lists_only_the_size(server: Server) -> None:
    """A waiting request gets the result as the function's child encoded it; lists have its size alone."""
    job = await claimed(server)
    waiting = asyncio.ensure_future(server.call("GET", f"/jobs/{job}?wait=20", "ann"))
    await hand_over(server, job)
    await report(server, job)
    answer = await waiting
    assert b'"result":' + CONTENT in answer.content
    [listed] = (await server.call("GET", "/jobs", "ann")).json()["items"]
    assert (listed["state"], listed["result"]) == ("done", None)
    assert listed["result_size"] == len(CONTENT)


async def test_a_report_without_its_result_is_a_dead_letter(server: Server) -> None:
    """The letter says which job's result is missing; the job keeps its claim."""
    job = await claimed(server)
    await report(server, job)
    async with asyncio.timeout(60):
        while not (letters := await server.broker.dead_letters()):
            await asyncio.sleep(0.01)
    assert [letter.queue for letter in letters] == [RESULTS]
    assert job in letters[0].reason
    assert "did not come whole" in letters[0].reason
    kept = await server.store.get_job(job)
    assert kept is not None
    assert (kept.state, kept.epoch) == ("running", 1)
