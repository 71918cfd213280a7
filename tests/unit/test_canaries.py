"""Which jobs run a canary: by the job's id and the host's name alone, always the same."""

import pytest

from dts_core.model import Trial
from dts_core.names import new_id
from dts_core.services.arguments import ArgumentCheck
from dts_core.services.canaries import Chosen, Tried, choose, is_within
from tests.support.jobs import make_job

DEFAULT = Chosen("d" * 64, is_async=False)
CANARY = "c" * 64


def tried(share: float = 0.0, *hosts: str) -> Tried:
    return Tried(CANARY, True, ArgumentCheck("a/b", []), share, list(hosts))


def chosen(of: Tried | None, *, job: str = "j", host: str = "", args: bytes = b"[]") -> Chosen:
    return choose(DEFAULT, of, job=job, host=host, args=args, kwargs=b"{}")


def test_a_share_is_a_share_of_the_jobs() -> None:
    """Of ten thousand ids about a tenth; none at 0, all at 1; a larger share holds all of a smaller one."""
    jobs = [new_id() for _ in range(10_000)]
    within = {share: {job for job in jobs if is_within(job, CANARY, share)} for share in (0.1, 0.2)}
    assert 800 < len(within[0.1]) < 1_200
    assert within[0.1] < within[0.2]
    assert not any(is_within(job, CANARY, 0.0) for job in jobs)
    assert all(is_within(job, CANARY, 1.0) for job in jobs)
    assert within[0.1] != {job for job in jobs if is_within(job, "e" * 64, 0.1)}


def test_the_choice_is_the_same_in_every_process() -> None:
    """It is pinned: another version of the control side must not choose otherwise for the same job."""
    assert [is_within(f"job-{number}", CANARY, 0.5) for number in range(8)] == [
        False, False, True, True, True, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("of", "host", "version", "trial"),
    [
        (None, "", "d", None),
        (tried(0.0, "h1"), "", "d", Trial(CANARY, True, ["h1"])),
        (tried(0.0, "h1"), "h1", "c", None),
        (tried(0.0, "h1"), "h2", "d", None),
        (tried(1.0, "h1"), "h2", "c", None),
        (tried(1.0), "", "c", None),
        (tried(0.0), "", "d", None),
    ],
)
def test_a_job_takes_its_version_along(
    of: Tried | None, host: str, version: str, trial: Trial | None
) -> None:
    """A job that is sent to a host knows its version; one that any may take brings both."""
    found = chosen(of, host=host)
    assert (found.version[0], found.trial) == (version, trial)
    assert found.is_async is (version == "c")


def test_a_call_that_does_not_fit_keeps_the_default_version() -> None:
    """Whatever the trial asks for."""
    assert chosen(tried(1.0, "h1"), args=b"[1]") == DEFAULT


def test_a_record_says_what_its_host_ran() -> None:
    """By the host that held it; without one, what was chosen."""
    trial = Trial(CANARY, True, ["h1"])
    for host, version in (("", "d"), ("h1", "c"), ("h2", "d")):
        assert make_job(version="d" * 64, host=host, trial=trial).running_version == version * 64
