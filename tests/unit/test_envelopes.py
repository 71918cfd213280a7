"""Signed envelopes: a worker that wants them runs what the server accepted, as it accepted it, and nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dts_core.errors import ConfigError
from dts_core.hosting.trust import trust_of
from dts_core.model import Job, JobMessage, Sealed, Trial
from dts_core.settings import LinkSettings, TrustSettings, WorkerFile
from dts_core.signing import Signer, Trust, Unsigned
from dts_core.signing.keys import new_pem
from dts_core.states import JobEvent
from dts_core.testing import START, wait_until
from dts_core.wiring.signing import shared_signer
from tests.support.worker_process import in_process
from tests.support.worker_road import Road

SIGNER = Signer(new_pem())
STRANGER = Signer(new_pem())
TRAP = "open({trap!r}, 'w').close()\ndef main(*given): return 1"
TRIAL = Trial("1" * 64, False, ["a", "b"])
BOX = Sealed(key="k", places={"args/0": "p"}, box=b"box")


def signed(message: JobMessage, queue: str = "default", signer: Signer = SIGNER) -> JobMessage:
    """A message as the server sends it, of the job that it stored."""
    given = {
        name: getattr(message, name)
        for name in JobMessage.__struct_fields__
        if name in Job.__struct_fields__
    }
    job = Job(**given, queue=queue, created_at=START)
    return msgspec.structs.replace(message, envelope=signer.sign_job(job))


MESSAGE = JobMessage(
    "j1", "a/b", "0" * 64, False, b"[1]", b"{}", 1, submitter="ann", sealed=BOX, trial=TRIAL
)


def test_an_envelope_is_good_for_every_sending_of_the_job() -> None:
    """The attempt and the bound of the result differ from one sending to the next; by any trusted key."""
    message = signed(MESSAGE)
    again = msgspec.structs.replace(message, attempt=3, result_max=1)
    for each in (message, again):
        Trust([STRANGER.public, SIGNER.public]).check_job(each, "default")


@pytest.mark.parametrize(
    "change",
    [
        {"id": "j2"},
        {"function": "a/c"},
        {"version": "1" * 64},
        {"is_async": True},
        {"args": b"[2]"},
        {"kwargs": b'{"a":1}'},
        {"args": b"[1]{", "kwargs": b"}"},
        {"timeout_seconds": 1.0},
        {"grace_seconds": 1.0},
        {"retries": 5},
        {"submitter": "root"},
        {"sealed": None},
        {"trial": None},
        {"trial": Trial("2" * 64, False, ["a", "b"])},
        {"trial": Trial("1" * 64, True, ["a", "b"])},
        {"trial": Trial("1" * 64, False, ["a", "c"])},
        {"sealed": msgspec.structs.replace(BOX, box=b"other")},
        {"sealed": msgspec.structs.replace(BOX, places={"args/0": "q"})},
    ],
)
def test_whatever_is_changed_breaks_it(change: dict[str, Any]) -> None:
    """Nothing that decides what runs, with what, how long and for whom can be exchanged."""
    trust = Trust([SIGNER.public])
    with pytest.raises(Unsigned, match="not for it"):
        trust.check_job(msgspec.structs.replace(signed(MESSAGE), **change), "default")


def test_an_envelope_is_of_one_key_and_one_queue() -> None:
    """None, a stranger's, one that names another's key, one of another queue: each is told apart."""
    trust = Trust([SIGNER.public])
    with pytest.raises(Unsigned, match="is not signed"):
        trust.check_job(MESSAGE, "default")
    strange = signed(MESSAGE, signer=STRANGER)
    with pytest.raises(Unsigned, match="not trusted"):
        trust.check_job(strange, "default")
    assert strange.envelope is not None
    renamed = msgspec.structs.replace(strange.envelope, key=SIGNER.public.id)
    with pytest.raises(Unsigned, match="not for it"):
        trust.check_job(msgspec.structs.replace(strange, envelope=renamed), "default")
    with pytest.raises(Unsigned, match="not for it"):
        trust.check_job(signed(MESSAGE), "host.db-1")
    version = SIGNER.sign("a/b", "0" * 64)
    with pytest.raises(Unsigned, match="not for it"):
        trust.check_job(msgspec.structs.replace(MESSAGE, envelope=version), "default")


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with Road(tmp_path) as found:
        yield found


async def test_a_worker_runs_signed_jobs_and_refuses_others(road: Road, tmp_path: Path) -> None:
    """They fail for good with the reason, whoever watches the logs hears of it, and no line of them runs."""
    trap = tmp_path / "ran"
    source = TRAP.format(trap=str(trap))
    good = signed(road.message("def main(): return 1"), signer=road.signer)
    plain, elsewhere = road.message(source), signed(road.message(source), "other", road.signer)
    altered = msgspec.structs.replace(signed(road.message(source), signer=road.signer), args=b"[1]")
    bad = [(plain, "is not signed"), (elsewhere, "not for it"), (altered, "not for it")]
    async with in_process(road, Trust([road.signer.public]), signed_jobs=True) as worker:
        await road.send(good, *(job for job, _ in bad))
        assert (await road.result(good.id)).result == b"1"
        for job, words in bad:
            result = await road.result(job.id)
            assert (result.event, result.retry) == (JobEvent.FAIL, False)
            assert result.error is not None
            assert result.error.type == "EnvelopeRefused"
            assert words in result.error.message
            await wait_until(lambda job=job: any(each.job == job.id for each in road.records))  # type: ignore[misc]
        await wait_until(lambda: worker.worker.held() == [])
    assert not trap.exists()
    assert [each.hash for each in road.requests] == [good.version]


async def test_a_new_key_is_looked_for_before_a_job_is_refused(road: Road) -> None:
    """Keys rotate: the worker reads its keys again for a signature of one that it does not know."""
    job, strange = (
        signed(road.message("def main(): return 1"), signer=each) for each in (SIGNER, STRANGER)
    )
    async with in_process(road, Trust([road.signer.public]), signed_jobs=True) as worker:
        loader = worker.worker.loader

        async def renew() -> None:
            loader.retrust(Trust([road.signer.public, SIGNER.public]))

        loader.renew = renew
        await road.send(job, strange)
        assert (await road.result(job.id)).result == b"1"
        error = (await road.result(strange.id)).error
        assert error is not None
        assert error.type == "EnvelopeRefused"


async def test_without_the_setting_nothing_is_asked_for(road: Road) -> None:
    """Off by default: jobs of servers that sign none run, and so do signed ones."""
    plain = road.message("def main(): return 1")
    strange = signed(road.message("def main(): return 2"), signer=STRANGER)
    async with in_process(road, Trust([road.signer.public])):
        await road.send(plain, strange)
        assert (await road.result(plain.id)).result == b"1"
        assert (await road.result(strange.id)).result == b"2"


def test_the_setting_needs_keys(tmp_path: Path) -> None:
    """A worker that is to verify, and a server that is to sign, do not start without a key to do it with."""
    link = LinkSettings(url=f"link+unix://{tmp_path}/link.sock")
    settings = WorkerFile(broker=link, signing=TrustSettings(required=False, jobs=True))
    with pytest.raises(ConfigError, match="no public key"):
        trust_of(settings)
    with pytest.raises(ConfigError, match="no key to sign them with"):
        shared_signer(None, jobs=True)
