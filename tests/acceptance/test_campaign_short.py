"""Short campaigns of faults: nothing is lost, nothing ends twice, nothing is stuck. `make campaign` runs long ones."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2]
SECONDS_MAX = 900.0
LINE = re.compile(
    r"jobs=(\d+) faults=(\d+) lost=0 duplicate=0 stuck=0 p95_worker_kill_s=\S+ p95_broker_back_s=\S+"
)


def _campaign(
    engine: str, *, jobs: int, faults: int, seed: int, longest: float, first: Sequence[str] = ()
) -> str:
    """Run one; it has to close on a line that finds nothing. What it printed."""
    options = [word for name in first for word in ("--first", name)]
    process = subprocess.Popen(
        [sys.executable, "tools/campaign.py", "--longest", str(longest), *options],
        cwd=TREE,
        env=os.environ
        | {
            "CAMPAIGN_ENGINE": engine,
            "CAMPAIGN_JOBS": str(jobs),
            "CAMPAIGN_FAULTS": str(faults),
            "CAMPAIGN_SEED": str(seed),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = process.communicate(timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # it ends what it started
        said, _ = process.communicate(timeout=120)
        pytest.fail(f"not over after {SECONDS_MAX:g} s:\n{said}")
    found = LINE.fullmatch(said.splitlines()[-1])
    assert found is not None, said
    assert process.returncode == 0, said
    assert int(found[1]) >= jobs
    assert int(found[2]) == faults
    return said


def test_on_the_embedded_engine() -> None:
    """Owner and workers killed and frozen, no room on the disk, a stepped clock."""
    _campaign("embedded", jobs=300, faults=6, seed=48, longest=0.25)


@pytest.mark.slow
@pytest.mark.external("rabbitmq", "mongodb")
def test_on_rabbitmq_and_mongodb() -> None:
    """A line cut, a worker and the broker killed, a partition; always on private servers."""
    sure = ["kill a worker", "cut a worker between publish and confirm", "kill the broker"]
    first = [
        "partition of a worker",
        *sure,
    ]  # the first needs a network that is not allowed everywhere
    said = _campaign("distributed", jobs=100, faults=4, seed=747, longest=0.2, first=first)
    assert [name for name in sure if f" x {name}" not in said] == []
