"""What a worker runs: versions that a trusted key signed for the function that the job names, and nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from dts_core.model import JobMessage, Reload, Signature, SourceRequest
from dts_core.signing import Signer, Trust
from dts_core.signing.keys import new_pem
from dts_core.states import JobEvent
from dts_core.testing import wait_until
from tests.support.worker_process import a_process, in_process
from tests.support.worker_road import Road

STRANGER = Signer(new_pem())
TRAP = "open({trap!r}, 'w').close()\ndef main(): return 1"
"""Leaves a file when it is so much as imported."""


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with Road(tmp_path) as found:
        yield found


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    return tmp_path / "ran"


def trust_of(road: Road, *more: Signer) -> Trust:
    return Trust([road.signer.public, *(each.public for each in more)])


def job_of(road: Road, trap: Path, **fields: str) -> JobMessage:
    return road.message(TRAP.format(trap=str(trap)), **fields)


async def refused(road: Road, job: JobMessage) -> str:
    """Why a job failed that must not have run."""
    result = await road.result(job.id)
    assert result.event is JobEvent.FAIL
    assert result.error is not None
    assert (result.error.type, result.retry) == ("LoadFailed", False)
    return result.error.message


async def test_a_signed_version_runs_and_is_asked_for_once(road: Road, trap: Path) -> None:
    """The signature comes with the source; both lie on the disk then, for the next start."""
    job, again = job_of(road, trap), job_of(road, trap)
    async with in_process(road, trust_of(road)):
        await road.send(job, again)
        for each in (job, again):
            assert (await road.result(each.id)).result == b"1"
    assert [(each.function, each.hash) for each in road.requests] == [(job.function, job.version)]
    assert trap.exists()
    third = job_of(road, trap)
    async with in_process(road, trust_of(road)):
        await road.send(third)
        assert (await road.result(third.id)).result == b"1"
    assert len(road.requests) == 1


def another_function(asked: SourceRequest) -> Signature:
    return STRANGER.sign("test/other", asked.hash)


def cut_short(signature: Signature) -> Signature:
    return msgspec.structs.replace(signature, value=signature.value[:-1])


@pytest.mark.parametrize(
    ("forge", "words"),
    [
        (lambda road, asked: None, "is not signed"),
        (lambda road, asked: STRANGER.sign(asked.function, asked.hash), "not trusted here"),
        (lambda road, asked: road.signer.sign("test/other", asked.hash), "not for it"),
        (lambda road, asked: road.signer.sign("other/function", asked.hash), "not for it"),
        (lambda road, asked: road.signer.sign(asked.function, "0" * 64), "not for it"),
        (lambda road, asked: cut_short(road.signed(asked)), "not for it"),
        (
            lambda road, asked: msgspec.structs.replace(
                STRANGER.sign(asked.function, asked.hash), key=road.signer.public.id
            ),
            "not for it",
        ),
    ],
    ids=["none", "stranger", "name", "namespace", "version", "cut", "renamed key"],
)
async def test_what_is_not_signed_for_this_never_runs(
    road: Road, trap: Path, forge: object, words: str
) -> None:
    """The job fails with the reason, for good; the log tells whoever watches; no line of it was run."""
    assert callable(forge)
    road.sign = lambda asked: forge(road, asked)
    job = job_of(road, trap)
    async with in_process(road, trust_of(road)) as worker:
        await road.send(job)
        why = await refused(road, job)
        assert words in why
        assert f"version {job.version[:11]}" in why
        assert "test/function" in why
        await wait_until(lambda: any(words in each.text for each in road.records))
        assert worker.worker.functions() == {}
    assert not trap.exists()
    assert list((road.folder / "worker" / "sources").iterdir()) == []


async def test_an_altered_source_never_runs(road: Road, trap: Path) -> None:
    """A good signature of a version does not help other bytes."""
    job = job_of(road, trap)
    road.sources[job.version] = road.sources[job.version] + b"#"
    async with in_process(road, trust_of(road)):
        await road.send(job)
        assert "is not version" in await refused(road, job)
    assert not trap.exists()


async def test_a_signed_version_is_not_run_as_another_function(road: Road, trap: Path) -> None:
    """What is in memory and on the disk as one function's is proved anew for the next that names it."""
    road.sign = lambda asked: road.signer.sign("test/function", asked.hash)
    good = job_of(road, trap)
    async with in_process(road, trust_of(road)):
        await road.send(good)
        assert (await road.result(good.id)).event is JobEvent.FINISH
        trap.unlink()
        for function in ("other/function", "test/functions"):
            forged = job_of(road, trap, function=function)
            await road.send(forged)
            assert "not for it" in await refused(road, forged)
    assert not trap.exists()


@pytest.mark.parametrize("verified", [True, False], ids=["with keys", "without"])
async def test_a_function_of_the_control_side_never_comes_by_the_broker(
    road: Road, trap: Path, verified: bool
) -> None:
    """Namespace dts/ is refused before anything is asked, also where nothing is verified and the source is here."""
    good = job_of(road, trap)
    async with in_process(road, trust_of(road) if verified else None):
        await road.send(good)
        await road.result(good.id)
        trap.unlink()
        forged = job_of(road, trap, function="dts/deploy")
        await road.send(forged)
        assert "runs on the control side" in await refused(road, forged)
        await road.order(Reload("dts/deploy", good.version))
        await wait_until(lambda: any("dts/deploy" in each.function for each in road.records))
    assert not trap.exists()
    assert len(road.requests) == 1


@pytest.mark.parametrize("signature", ["forged", "garbled", "none"])
async def test_the_disk_cache_is_verified_too(road: Road, trap: Path, signature: str) -> None:
    """Source and signature put into the folder by somebody else do not run; the control side is asked."""
    job = job_of(road, trap)
    async with in_process(road, trust_of(road)):
        await road.send(job)
        await road.result(job.id)
    trap.unlink()
    [proof] = (road.folder / "worker" / "sources").glob("*.sig")
    if signature == "forged":
        proof.write_bytes(msgspec.msgpack.encode(STRANGER.sign(job.function, job.version)))
    elif signature == "garbled":
        proof.write_bytes(b"\xff" * 100)
    else:
        proof.unlink()
    road.sign = lambda asked: None
    again = job_of(road, trap)
    async with in_process(road, trust_of(road)):
        await road.send(again)
        assert "is not signed" in await refused(road, again)
    assert len(road.requests) == 2
    assert not trap.exists()


async def test_what_was_cached_unverified_is_proved_before_it_runs(road: Road, trap: Path) -> None:
    """A worker that gets keys at last does not run what it took before it had any."""
    job, again = job_of(road, trap), job_of(road, trap)
    road.sign = lambda asked: None
    async with in_process(road):
        await road.send(job)
        assert (await road.result(job.id)).event is JobEvent.FINISH
    trap.unlink()
    async with in_process(road, trust_of(road)):
        await road.send(again)
        assert "is not signed" in await refused(road, again)
    assert not trap.exists()


async def test_keys_rotate(road: Road, trap: Path) -> None:
    """Both keys count while both are listed; afterwards what was signed again runs, by the cache's fresh proof."""
    old, new = road.signer, STRANGER
    first = job_of(road, trap)
    async with in_process(road, Trust([old.public, new.public])):
        await road.send(first)
        assert (await road.result(first.id)).event is JobEvent.FINISH
        road.signer = new
        other = road.message("def main(): return 2")
        await road.send(other)
        assert (await road.result(other.id)).result == b"2"
    again = job_of(road, trap)
    async with in_process(road, Trust([new.public])):
        await road.send(again)
        assert (await road.result(again.id)).event is JobEvent.FINISH
    assert [each.hash for each in road.requests] == [first.version, other.version, first.version]
    road.signer = old
    last = road.message("def main(): return 3")
    async with in_process(road, Trust([new.public])):
        await road.send(last)
        assert "not trusted here" in await refused(road, last)


async def test_a_reload_of_an_unsigned_version_is_refused_before_it_is_tried(
    road: Road, trap: Path
) -> None:
    """To try whether a version imports is to run it."""
    road.sign = lambda asked: None
    async with in_process(road, trust_of(road)) as worker:
        await road.order(Reload("test/function", road.add(TRAP.format(trap=str(trap)))))
        await wait_until(lambda: any("is not signed" in each.text for each in road.records))
        assert worker.worker.functions() == {}
    assert not trap.exists()


async def test_without_keys_nothing_is_verified(road: Road, trap: Path) -> None:
    """What required = false means: as before there were signatures."""
    road.sign = lambda asked: None
    job = job_of(road, trap)
    async with in_process(road):
        await road.send(job)
        assert (await road.result(job.id)).event is JobEvent.FINISH


async def test_a_process_finds_the_servers_key_beside_its_socket(road: Road, trap: Path) -> None:
    """`dts-worker` on a link verifies without a word in its settings."""
    good, bad = job_of(road, trap), road.message("def main(): return 2", function="other/function")
    road.sign = lambda asked: road.signer.sign("test/function", asked.hash)
    async with a_process(road) as worker:
        await road.send(good, bad)
        assert (await road.result(good.id)).result == b"1"
        assert "not for it" in await refused(road, bad)
        assert f"verified, by the keys {road.signer.public.id}" in worker.said()
