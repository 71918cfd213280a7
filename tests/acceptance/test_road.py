"""The road of a job through real processes, and what it survives."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import apsw
import psutil
import pytest

from dts_core.clients import SyncAdminClient, submission
from dts_core.clients.endpoint import local_endpoint
from dts_core.errors import ApiError
from tests.support.processes import Up, environment, eventually, freeze, up

ROOT = Path(__file__).parents[2]
SLEEPER = """
import time
from pathlib import Path

def main(marks: str, seconds: float = 0.0):
    with Path(marks).open("a") as file:
        file.write("started\\n")
    time.sleep(seconds)
    return "slept"
"""


def _add(client: SyncAdminClient, name: str, source: str) -> str:
    eventually(lambda: client.namespaces.list().items, what="namespaces")
    if not any(each["_id"] == "test" for each in client.namespaces.list().items):
        client.namespaces.add("test")
    client.functions.add(f"test/{name}", source)
    return f"test/{name}"


def _starts(marks: Path) -> int:
    return marks.read_text().count("started") if marks.exists() else 0


def test_wordcount_from_the_command_line_equals_wc(tmp_path: Path) -> None:
    """`dts submit --wait --json` prints the count that `wc -w` prints."""
    with up(tmp_path) as stack:
        stack.client().close()
        command = [sys.executable, "-m", "dts_core.cli", "submit", "sample/wordcount"]
        options = ["--data", str(stack.data), "--arg", json.dumps(str(ROOT / "README.md"))]
        told = subprocess.run(
            [*command, *options, "--wait", "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(tmp_path),
            check=False,
        )
        assert told.returncode == 0, told.stderr
        expected = subprocess.run(
            ["wc", "-w", str(ROOT / "README.md")], capture_output=True, text=True, check=True
        )
        assert json.loads(told.stdout)["result"]["words"] == int(expected.stdout.split()[0])


def test_a_version_is_deployed_tried_and_promoted(tmp_path: Path) -> None:
    """On one machine by commands: the worker has it ahead, a share of all runs it, and then it is the default one."""
    with up(tmp_path) as stack, stack.client() as client:
        function = _add(client, "tried", "def main():\n    return 'default'\n")
        source = tmp_path / "tried.py"
        source.write_text("def main():\n    return 'canary'\n")

        def dts(*arguments: str) -> str:
            command = [sys.executable, "-m", "dts_core.cli", "admin", "functions", *arguments]
            done = subprocess.run(
                [*command, "--data", str(stack.data)],
                capture_output=True, text=True, timeout=120, env=environment(tmp_path), check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        eventually(lambda: client.hosts().items, what="the worker")
        assert "is ready on 1 of 1 hosts" in dts("deploy", function)
        assert "is tried" in dts("canary", "push", function, str(source), "--share", "1")
        assert client.submit(function, wait=60).result == "canary"
        assert "withdrawn" in dts("canary", "withdraw", function)
        assert client.submit(function, wait=60).result == "default"
        version = client.functions.get(function).versions[-1].hash
        dts("canary", "set", function, version[:8], "--share", "1")
        assert "is the default one" in dts("canary", "promote", function)
        assert client.submit(function, wait=60).result == "canary"
        shown = dts("canary", "show", function)
        assert [line.split()[:3] for line in shown.splitlines()[1:3]] == [
            [version[:12], "default", "2"],
            [client.functions.get(function).versions[0].hash[:12], "1", "0"],
        ]


def test_edited_source_is_used_without_a_restart(tmp_path: Path) -> None:
    """The next job after a save runs the new version; one that does not parse is refused, the old stays."""
    with up(tmp_path) as stack, stack.client() as client:
        function = _add(client, "edited", "def main():\n    return 1\n")
        assert client.submit(function, wait=20).result == 1
        revision = client.functions.get(function).revision
        client.functions.update(function, source="def main():\n    return 2\n", revision=revision)
        assert client.submit(function, wait=20).result == 2
        revision = client.functions.get(function).revision
        with pytest.raises(ApiError) as refused:
            client.functions.update(function, source="def main(:\n", revision=revision)
        assert refused.value.answer_status == 422
        assert client.submit(function, wait=20).result == 2


def test_kill_of_the_worker_runs_the_job_again_once(tmp_path: Path) -> None:
    """kill -9 of the worker in mid-job: another run starts by itself and there is one result."""
    marks = tmp_path / "marks"
    with up(tmp_path) as stack, stack.client() as client:
        function = _add(client, "sleeper", SLEEPER)
        job = client.submit(function, args=[str(marks), 3.0])
        eventually(lambda: _starts(marks) == 1, what="the first start")
        killed = time.monotonic()
        stack.worker().send_signal(signal.SIGKILL)
        eventually(lambda: _starts(marks) == 2, what="the second start")
        print(f"running again after {time.monotonic() - killed:.2f} s")
        ended = client.wait_for(job.id, timeout_seconds=40)
        assert (ended.state, ended.result, ended.losses) == ("done", "slept", 1)
        attempts = client.attempts(job.id).items
        assert [each.outcome for each in attempts] == ["lose"]
        assert _starts(marks) == 2


def _submit_until_killed(stack: Up, accepted: list[str], stop: threading.Event) -> None:
    found = local_endpoint(stack.data)
    with SyncAdminClient(found.url, found.token) as client:
        while not stop.is_set():
            try:
                answer = client.submit_many([submission("sample/noop")] * 50)
            except ApiError:
                return
            accepted.extend(answer.ids)


@pytest.mark.slow
def test_kill_of_the_owner_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Every job answered 201 before a kill -9 of `dts up` ends after the next start, once; no process is left over."""
    accepted: list[str] = []
    stop = threading.Event()
    with up(tmp_path) as stack:
        stack.client().close()
        senders = [
            threading.Thread(target=_submit_until_killed, args=(stack, accepted, stop))
            for _ in range(2)
        ]
        for sender in senders:
            sender.start()
        eventually(lambda: len(accepted) >= 2000, what="2,000 accepted jobs")
        family = stack.descendants()
        stack.kill()
        stop.set()
        for sender in senders:
            sender.join(60)
        eventually(
            lambda: not any(each.is_running() and each.status() != "zombie" for each in family),
            what="no orphan of the killed owner",
        )
    with up(tmp_path) as again, again.client() as client:
        eventually(
            lambda: not {state for state, n in client.counts().states.items() if n} - {"done"},
            seconds=60,
            what="all jobs end",
        )
        eventually(
            lambda: (
                not any(
                    queue.ready or queue.unacked
                    for queue in client.queues().items
                    if queue.name.startswith("jobs.")
                )
            ),
            what="no message of a job is left",
        )
        again.stop()
    connection = apsw.Connection(str(tmp_path / "data" / "dts.db"))
    rows = dict(connection.execute("SELECT id, state FROM jobs"))
    assert connection.execute("SELECT count(*) FROM messages").fetchone() == (0,)
    connection.close()
    assert len(accepted) == len(set(accepted)) >= 2000
    assert [job for job in accepted if rows.get(job) != "done"] == []


@pytest.mark.slow
def test_late_result_of_a_frozen_worker_is_refused(tmp_path: Path) -> None:
    """SIGSTOP past the lease, another run, SIGCONT: the late result changes nothing and is counted."""
    marks = tmp_path / "marks"
    with up(tmp_path, "--workers", "2") as stack, stack.client() as client:
        function = _add(client, "sleeper", SLEEPER)
        job = client.submit(function, args=[str(marks), 4.0])
        eventually(lambda: _starts(marks) == 1, what="the first start")
        running = eventually(
            lambda: next((j for j in [client.job(job.id)] if j.worker), None), what="its worker"
        )
        assert running is not None
        frozen = next(
            each
            for each in stack.descendants()
            if "dts_worker" in " ".join(each.cmdline()) and str(each.pid) in running.worker
        )
        freeze(frozen.pid)
        try:
            eventually(lambda: _starts(marks) == 2, what="the second start")
        finally:
            frozen.send_signal(signal.SIGCONT)
        ended = client.wait_for(job.id, timeout_seconds=40)
        assert (ended.state, ended.result, ended.epoch) == ("done", "slept", 2)
        eventually(lambda: _refused(client) >= 1, what="the late result is counted")
        assert client.job(job.id).epoch == 2


def _refused(client: SyncAdminClient) -> float:
    import httpx

    answer = httpx.get(
        f"{client.url}/metrics", headers={"Authorization": f"Bearer {client.token}"}, timeout=60
    )
    lines = [line for line in answer.text.splitlines() if line.startswith("dts_results_refused")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_cancelled_or_expired_while_queued_never_runs(tmp_path: Path) -> None:
    """A job that is cancelled, or whose time passes, before a worker is there does not run when one comes."""
    marks = tmp_path / "marks"
    with up(tmp_path, "--no-worker") as stack, stack.client(with_worker=False) as client:
        function = _add(client, "sleeper", SLEEPER)
        cancelled = client.submit(function, args=[str(marks)])
        expired = client.submit(function, args=[str(marks)], expires_seconds=0.5)
        kept = client.submit(function, args=[str(tmp_path / "kept")])
        assert client.cancel([cancelled.id]).items[0].state == "cancelled"
        assert client.wait_for(expired.id, timeout_seconds=15).state == "expired"
        stack.stop()
    with up(tmp_path) as again, again.client() as client:
        assert client.wait_for(kept.id, timeout_seconds=60).state == "done"
        assert client.job(cancelled.id).state == "cancelled"
        assert client.job(expired.id).state == "expired"
        assert _starts(marks) == 0


def test_cancel_ends_a_running_job_for_good(tmp_path: Path) -> None:
    """Cancel of a job that ignores it: cancelling first, cancelled only when its process is gone."""
    source = """
import os, signal, time
from pathlib import Path

def main(pid_file: str):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(pid_file).write_text(str(os.getpid()))
    while True:
        time.sleep(0.05)
"""
    pid_file = tmp_path / "pid"
    with up(tmp_path) as stack, stack.client() as client:
        function = _add(client, "stubborn", source)
        job = client.submit(function, args=[str(pid_file)], grace_seconds=0.5)
        eventually(lambda: pid_file.exists() and pid_file.read_text(), what="the job runs")
        assert client.cancel([job.id]).items[0].state == "cancelling"
        ended = client.wait_for(job.id, timeout_seconds=60)
        assert ended.state == "cancelled"
        assert not psutil.pid_exists(int(pid_file.read_text()))
