"""Secret arguments in a worker: opened for the run they belong to, and nowhere in what the run says."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from dts_core.model import JobMessage
from dts_core.sealed import Call, Opener, OpeningKey, Sealer
from dts_core.states import JobEvent
from dts_core.testing import wait_until
from tests.support.worker_process import in_process
from tests.support.worker_road import Road

KEY = OpeningKey.new()
SECRET = "canary of the worker's"
LOUD = """
    from dts_core import Secret, job
    def main(host: str, password: Secret):
        print("with", password)
        job.progress(0.5, f"as {password}")
        job.logger.warning("%r", password)
        if host == "bad":
            raise ValueError(f"no entry for {password}")
        return [host, len(password), type(password).__name__]
"""


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with Road(tmp_path) as found:
        yield found


def sealed(road: Road, host: str, **fields: object) -> JobMessage:
    """A job of LOUD as the server sends it."""
    job = road.message(LOUD, host, SECRET)
    call = Call(job.function, job.args, job.kwargs)
    masked, box = Sealer([KEY.public]).seal(call, {"args/1": "password"})
    made = msgspec.structs.replace(job, args=masked.args, sealed=box)
    return msgspec.structs.replace(made, **fields)


async def test_the_function_gets_the_text_and_the_log_stars(road: Road) -> None:
    """A plain str arrives; lines, progress, message and traceback come out without it."""
    good, bad = sealed(road, "db-1"), sealed(road, "bad")
    async with in_process(road, opener=Opener([KEY])) as worker:
        await road.send(good, bad)
        assert (await road.result(good.id)).result == b'["db-1",%d,"str"]' % len(SECRET)
        error = (await road.result(bad.id)).error
        assert error is not None
        assert (error.type, error.message) == ("ValueError", "no entry for ***")
        assert "no entry for ***" in error.traceback
        await road.until_logged(bad.id, "with ***")
        await road.until_logged(bad.id, '"***"')
        await wait_until(lambda: worker.worker.held() == [])
        assert worker.worker.executor.secrets.veil(good.id, SECRET) == SECRET
    said = [*(each.text for each in road.records), *(each.text for each in road.progress)]
    assert not [text for text in said if "canary" in text]


@pytest.mark.parametrize("fields", [{"function": "eve/function"}, {"args": b'["evil","***"]'}])
async def test_a_box_of_another_call_is_refused(road: Road, fields: dict[str, object]) -> None:
    """Whoever can publish jobs cannot have another's secret opened in a call of theirs; no line of it runs."""
    job = sealed(road, "db-1", **fields)
    async with in_process(road, opener=Opener([KEY])):
        await road.send(job)
        result = await road.result(job.id)
        assert (result.event, result.retry) == (JobEvent.FAIL, False)
        assert result.error is not None
        assert result.error.type == "SecretsNotOpened"
        assert "another call" in result.error.message
        await wait_until(lambda: any("another call" in each.text for each in road.records))
    assert [text for text in await road.all_texts(job.id) if "refused" not in text] == []


async def test_a_worker_without_the_key_says_so(road: Road) -> None:
    """The job fails, and may be tried by a worker that has it; jobs without secrets run on."""
    job, plain = sealed(road, "db-1"), road.message("def main(): return 1")
    async with in_process(road):
        await road.send(job, plain)
        result = await road.result(job.id)
        assert result.error is not None
        assert (result.error.type, result.retry) == ("SecretsNotOpened", True)
        assert KEY.public.id in result.error.message
        assert (await road.result(plain.id)).result == b"1"
