"""Results far above one message, through real processes: whole, bounded, and gone with the claim that sent them."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import apsw

from dts_core.clients import SyncAdminClient
from tests.support.processes import Up, environment, eventually, up

NOISE = """
import hashlib, random

def main(size: int, seed: int = 1):
    text = random.Random(seed).randbytes(size // 2 - 1).hex()
    print("sha", hashlib.sha256(text.encode()).hexdigest())
    return text
"""
SLOW = """
import time
from pathlib import Path

def main(marks: str, size: int):
    with Path(marks).open("a") as file:
        file.write("started\\n")
    return "x" * size
"""
SIZES = [300 << 10, 5 << 20, 16 << 20]


def add(client: SyncAdminClient, name: str, source: str) -> str:
    eventually(lambda: client.namespaces.list().items, what="namespaces")
    if not any(each["_id"] == "test" for each in client.namespaces.list().items):
        client.namespaces.add("test")
    client.functions.add(f"test/{name}", source)
    return f"test/{name}"


def sha_of(client: SyncAdminClient, job: str) -> str:
    """What the function itself logged of its result."""
    found: list[str] = []

    def look() -> bool:
        found[:] = [
            each.text for each in client.logs(job=job).items if each.text.startswith("sha ")
        ]
        return bool(found)

    eventually(look, what="the function's own hash")
    return found[0].removeprefix("sha ")


def rows(stack: Up, sql: str) -> list[Any]:
    connection = apsw.Connection(str(stack.data / "dts.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(5000)
        return list(connection.execute(sql))
    finally:
        connection.close()


def test_results_up_to_the_limit_arrive_whole_and_one_above_fails(tmp_path: Path) -> None:
    """300 KiB, 5 MiB and 16 MiB of noise are what the function returned, by hash; 17 MiB fails once, with its size."""
    with up(tmp_path) as stack, stack.client() as client:
        function = add(client, "noise", NOISE)
        for size in SIZES:
            job = client.wait_for(client.submit(function, args=[size]).id, timeout_seconds=60)
            assert (job.state, job.result_size) == ("done", size)
            assert hashlib.sha256(job.result.encode()).hexdigest() == sha_of(client, job.id)
        command = [sys.executable, "-m", "dts_core.cli", "job", job.id, "--json"]
        told = subprocess.run(
            [*command, "--data", str(stack.data)],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(tmp_path),
            check=False,
        )
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["result"] == job.result
        listed = client.jobs().items
        assert [each.result for each in listed] == [None] * len(SIZES)
        large = client.submit(function, args=[17 << 20], retries=3)
        ended = client.wait_for(large.id, timeout_seconds=60)
        assert ended.error is not None
        assert (ended.state, ended.attempt, ended.error.type) == ("failed", 1, "ResultTooLarge")
        assert str(17 << 20) in ended.error.message
        assert rows(stack, "SELECT count(*) FROM uploads WHERE state<2") == [(0,)]
        stored = rows(stack, "SELECT upload, sum(length(data)) FROM blob_parts GROUP BY upload")
        assert sorted(size for _, size in stored) == SIZES


def test_the_limit_is_a_setting(tmp_path: Path) -> None:
    """With a limit of 40 MiB a result of 33 MiB is whole, also of an attempt that was a retry."""
    settings = tmp_path / "server.toml"
    settings.write_text("[server]\nresult_max = 41943040\n")
    source = NOISE + "\nfrom pathlib import Path\nnoise = main\n"
    source += (
        "def main(size: int, mark: str):\n"
        "    if not Path(mark).exists():\n"
        "        Path(mark).touch()\n"
        "        raise ValueError('once')\n"
        "    return noise(size)\n"
    )
    with up(tmp_path, "--config-file", str(settings)) as stack, stack.client() as client:
        function = add(client, "noise", source)
        size = 33 << 20
        asked = client.submit(
            function, args=[size, str(tmp_path / "mark")], retries=1, backoff_seconds=0.1
        )
        job = client.wait_for(asked.id, timeout_seconds=60)
        assert (job.state, job.attempt, job.result_size) == ("done", 2, size), job.error
        assert hashlib.sha256(job.result.encode()).hexdigest() == sha_of(client, job.id)


def until_the_first_chunk(stack: Up) -> None:
    """Look without a pause: the others follow within milliseconds."""
    deadline = time.monotonic() + 30
    while rows(stack, "SELECT count(*) FROM blob_parts") == [(0,)]:
        assert time.monotonic() < deadline, "no chunk came"
        time.sleep(0.001)


def test_a_worker_killed_in_mid_upload_leaves_nothing(tmp_path: Path) -> None:
    """kill -9 while chunks arrive: the job runs again, its result is whole, and no part of the first one is left."""
    marks = tmp_path / "marks"
    with up(tmp_path) as stack, stack.client() as client:
        function = add(client, "slow", SLOW)
        job = client.submit(function, args=[str(marks), (16 << 20) - 2])
        worker = stack.worker()
        until_the_first_chunk(stack)
        worker.send_signal(signal.SIGKILL)
        ended = client.wait_for(job.id, timeout_seconds=60)
        assert (ended.state, ended.result_size) == ("done", 16 << 20)
        assert ended.result == "x" * ((16 << 20) - 2)
        assert ended.losses == 1, "the worker was killed before its result was complete"
        assert marks.read_text().count("started") == 2
        assert rows(stack, "SELECT count(*), sum(size), min(state) FROM uploads") == [
            (1, 16 << 20, 2)
        ]
        assert rows(stack, "SELECT count(*), sum(length(data)) FROM blob_parts") == [(32, 16 << 20)]
