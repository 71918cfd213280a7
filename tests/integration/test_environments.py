"""Functions that declare packages, run by a real worker with packages from a folder."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dts_core.settings import EnvironmentSettings
from dts_core.states import JobEvent
from tests.support.certificates import LOOPBACK
from tests.support.wheels import wheel
from tests.support.worker_process import a_process, in_process
from tests.support.worker_road import Road

FUNCTION = """
# /// script
# dependencies = [{requirements}]
# ///
import sys
import tinypackage

{kind} main():
    return [tinypackage.WORD, sys.prefix != sys.base_prefix]
"""
PLAIN = """
def main():
    try:
        import tinypackage
    except ImportError:
        return "none"
    return "found"
"""


def function(*requirements: str, kind: str = "def") -> str:
    return FUNCTION.format(requirements=", ".join(map(repr, requirements)), kind=kind)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    for version in ("1.0", "2.0"):
        wheel(folder, "tinypackage", version, f"WORD = {version!r}\n")
    return folder


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with Road(tmp_path) as found:
        yield found


def settings(packages: Path, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"no_index": True, "find_links": [str(packages)]} | more
    return {"environments": EnvironmentSettings(**given)}


def environments(road: Road) -> list[Path]:
    return sorted(road.folder.glob("worker/environments/*/ready.json"))


async def failure(road: Road, job: str) -> tuple[str, bool, str]:
    result = await road.result(job, seconds=120)
    assert result.event is JobEvent.FAIL
    assert result.error is not None
    return result.error.type, result.retry, result.error.message


async def test_both_kinds_run_with_two_versions_at_once(road: Road, packages: Path) -> None:
    """Each function sees the version that it asks for, an own environment, and nothing of another's."""
    async with in_process(road, **settings(packages)):
        jobs = {
            (kind, version): await road.submit(function(f"tinypackage=={version}", kind=kind))
            for kind in ("def", "async def")
            for version in ("1.0", "2.0")
        }
        plain = await road.submit(PLAIN)
        assert (await road.result(plain)).result == b'"none"'
        for (_, version), job in jobs.items():
            result = await road.result(job, seconds=180)
            assert result.result == f'["{version}",true]'.encode(), result.error
        await road.until_logged(jobs["def", "1.0"], "the environment is ready")
    assert len(environments(road)) == 2


async def test_an_environment_is_made_once_and_found_again(road: Road, packages: Path) -> None:
    """Other spellings of the same requirement, and the next start of the worker, use the one that lies there."""
    async with in_process(road, **settings(packages)):
        first = await road.submit(function("tinypackage>=2"))
        assert (await road.result(first, seconds=180)).result == b'["2.0",true]'
    record = environments(road)[0].read_bytes()
    async with in_process(road, **settings(packages)):
        second = await road.submit(function("TinyPackage >= 2", "tinypackage >=2"))
        assert (await road.result(second, seconds=180)).result == b'["2.0",true]'
    assert await road.all_texts(second) == []
    assert [each.read_bytes() for each in environments(road)] == [record]


async def test_a_worker_of_its_own_makes_environments(road: Road, packages: Path) -> None:
    """Among children that end meanwhile: what a job leaves behind is swept, pip is not."""
    process = a_process(
        road,
        DTS_WORKER_ENVIRONMENTS_NO_INDEX="true",
        DTS_WORKER_ENVIRONMENTS_FIND_LINKS=str(packages),
    )
    async with process:
        job = await road.submit(function("tinypackage", kind="async def"))
        for _ in range(3):
            crash = await road.submit("import os\ndef main(): os._exit(3)")
            assert (await failure(road, crash))[0] == "ChildDied"
        assert (await road.result(job, seconds=180)).result == b'["2.0",true]'


async def test_a_package_that_does_not_exist_fails_the_job_once(road: Road, packages: Path) -> None:
    """With pip's words, without a retry; those that follow at once do not ask pip again."""
    async with in_process(road, **settings(packages)):
        jobs = [await road.submit(function("nosuchpackage")) for _ in range(3)]
        for job in jobs:
            kind, retry, message = await failure(road, job)
            assert (kind, retry) == ("EnvironmentFailed", False)
            assert "No matching distribution found for nosuchpackage" in message
        again = await road.submit(function("nosuchpackage"))
        assert (await failure(road, again))[0] == "EnvironmentFailed"
    assert await road.all_texts(again) == []
    assert environments(road) == []
    assert list(road.folder.glob("worker/environments/*/e*")) == []


async def test_a_network_that_is_not_there_lets_the_job_be_tried_again(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried TRIES times, then the job's own retries count; a password is never told."""
    monkeypatch.setattr("dts_worker.environments.service.PAUSE_SECONDS", 0.01)
    monkeypatch.setenv("PIP_RETRIES", "0")
    nobody = f"http://anna:hidden-word@{LOOPBACK}:9"
    async with in_process(road, environments=EnvironmentSettings(index_url=nobody)):
        job = await road.submit(function("tinypackage"))
        kind, retry, message = await failure(road, job)
    said = [message, *await road.all_texts(job)]
    assert (kind, retry) == ("EnvironmentFailed", True)
    assert said.count("the network was the trouble; trying again") == 2
    assert "hidden-word" not in "\n".join(said)


@pytest.mark.parametrize(
    ("requirement", "more", "told"),
    [
        ("tinypackage @ https://127.0.0.1:9/x.whl", {}, "names a URL"),
        ("tinypackage", {"enabled": False}, "makes no environments"),
        ("tinypackage", {"max_bytes": 1_000}, "more than 1000"),
        ("tinypackage", {"timeout_seconds": 0.01}, "within 0.01 s"),
        ("tinypackage", {"constraints": "/nowhere/constraints"}, "cannot be read"),
    ],
)
async def test_what_the_host_does_not_allow_is_said(
    road: Road,
    packages: Path,
    requirement: str,
    more: dict[str, Any],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each bound names itself, and leaves nothing on the disk."""
    monkeypatch.setattr("dts_worker.environments.service.PAUSE_SECONDS", 0.01)
    async with in_process(road, **settings(packages, **more)):
        kind, _, message = await failure(road, await road.submit(function(requirement)))
    assert kind == "EnvironmentFailed"
    assert told in message
    assert environments(road) == []


async def test_a_python_that_does_not_fit_is_said(road: Road, packages: Path) -> None:
    """Whether packages are declared or not, and no retry would find another one here."""
    source = '# /// script\n# requires-python = "<3.9"\n# ///\ndef main(): return 1\n'
    fits = source.replace("<3.9", ">=3.11")
    async with in_process(road, **settings(packages)):
        kind, retry, message = await failure(road, await road.submit(source))
        assert (await road.result(await road.submit(fits))).result == b"1"
    assert (kind, retry) == ("EnvironmentFailed", False)
    assert message.startswith("the function requires Python <3.9; this worker runs 3.")
