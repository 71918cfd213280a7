"""`dts up` as a process: starts, stops, starts again, and what it refuses."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import psutil
import pytest

from dts_core.clients import SyncAdminClient
from dts_core.clients.endpoint import local_endpoint
from dts_core.errors import ApiError, DtsError
from tests.support.certificates import make_certificate
from tests.support.processes import Up, environment, eventually, up

OPTIONS = ["-m", "dts_core.cli", "up"]


def refusal(folder: Path, *options: str, status: int = 1) -> str:
    """What a `dts up` that must not start says; it says it in one line."""
    done = subprocess.run(
        [sys.executable, *OPTIONS, *options],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(folder),
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("dts: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_starts_stops_and_finds_everything_again(tmp_path: Path) -> None:
    """A job, its result and the credentials outlive a clean stop; the stop is status 0."""
    with up(tmp_path) as stack, stack.client() as client:
        job = client.submit("sample/echo", args=["kept"], wait=60)
        assert job.state == "done"
        secret = json.loads((stack.data / "admin.json").read_text())["secret"]
        assert stack.stop() == 0
        assert not (stack.data / "endpoint.json").exists()
        assert "http://127.0.0.1:" in stack.said()
        assert str(stack.data / "admin.json") in stack.said()
    with up(tmp_path) as stack, stack.client() as client:
        again = client.job(job.id)
        assert (again.state, again.result) == (job.state, job.result)
        assert json.loads((stack.data / "admin.json").read_text())["secret"] == secret
        assert stack.stop() == 0


def test_everything_in_the_folder_is_private(tmp_path: Path) -> None:
    """Nobody else reads the data, the socket, the logs or the credentials; what jobs write is theirs."""
    with up(tmp_path) as stack:
        stack.client().close()
        assert stat.S_IMODE(stack.data.stat().st_mode) == 0o700
        ours = list(stack.data.glob("[!w]*")) + list(stack.data.glob("logs/*"))
        assert len(ours) > 6
        for path in ours:
            assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


def test_secret_is_nowhere_but_in_its_file(tmp_path: Path) -> None:
    """Neither arguments nor logs nor output of any process show the secret or the token."""
    with up(tmp_path) as stack:
        stack.client().close()
        kept = json.loads((stack.data / "admin.json").read_text())
        family = [psutil.Process(stack.process.pid), *stack.descendants()]
        told = [stack.said(), *(" ".join(each.cmdline()) for each in family)]
        told += [log.read_text() for log in (stack.data / "logs").iterdir()]
        for text in told:
            assert kept["secret"] not in text
            assert kept["token"] not in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_leaves_nobody(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end the stack with status 0 and every process below it."""
    with up(tmp_path, "--workers", "2") as stack:
        stack.client().close()
        family = stack.descendants()
        assert len(family) >= 2
        stack.process.send_signal(number)
        assert stack.process.wait(60) == 0
        eventually(lambda: not any(each.is_running() for each in family), what="all have ended")


def test_killed_stack_leaves_no_worker(tmp_path: Path) -> None:
    """kill -9 of `dts up`: its worker and the worker's children end by themselves."""
    with up(tmp_path) as stack:
        stack.client().close()
        family = stack.descendants()
        assert family
        stack.kill()
        eventually(
            lambda: not any(_lives(each) for each in family), seconds=20, what="all have ended"
        )


def test_dead_worker_is_replaced(tmp_path: Path) -> None:
    """A worker that is killed has a successor that takes jobs."""
    with up(tmp_path) as stack, stack.client() as client:
        first = stack.worker()
        first.kill()
        eventually(lambda: stack.worker().pid != first.pid, what="another worker")
        assert client.submit("sample/echo", args=[1], wait=60).state == "done"


def test_second_stack_on_the_folder_is_refused(tmp_path: Path) -> None:
    """One process owns a data folder; the other one is told which."""
    with up(tmp_path) as stack:
        stack.client().close()
        told = refusal(tmp_path, "--data", str(stack.data), "--port", "0")
        assert f"in use by process {stack.process.pid}." in told
        assert stack.process.poll() is None
        stack.client().close()


def test_taken_port_is_refused_when_it_was_asked_for(tmp_path: Path) -> None:
    """--port N means N; nothing is written before it is bound."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        told = refusal(tmp_path, "--data", str(tmp_path / "data"), "--port", port)
        assert f"port {port} is taken" in told
        assert not (tmp_path / "data" / "dts.db").exists()


def test_taken_default_port_gives_way(tmp_path: Path) -> None:
    """Without --port a free one is chosen, and said."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = tmp_path / "server.toml"
        config.write_text(f"[server]\nport = {port}\n")
        data = tmp_path / "data"
        process = subprocess.Popen(
            [sys.executable, *OPTIONS, "--data", str(data), "--no-worker", "-c", str(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(tmp_path),
        )
        try:
            eventually((data / "endpoint.json").exists)
            process.terminate()
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait(60)
        assert f"port {port} is taken, another one is used" in said
        assert process.returncode == 0


def test_a_signing_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """One line with the file, its mode and what to do; nothing has started then."""
    data = tmp_path / "data"
    with up(tmp_path) as stack, stack.client() as client:
        version = client.functions.get("sample/echo").current
        assert version.signed_by == client.functions.signing().key
        assert client.submit("sample/echo", args=["signed"], wait=60).state == "done"
        assert "verified, by the keys" in (data / "logs" / "worker-1.log").read_text()
    key = data / "signing.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    said = refusal(tmp_path, "--data", str(data), "--port", "0")
    assert f"{key}: signing.key_file: others may read it: its mode is 644." in said
    assert f"chmod 600 {key}" in said


def test_folder_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """Data of a newer schema is left untouched, with advice."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    connection = apsw.Connection(str(data / "dts.db"))
    for statement in ("PRAGMA journal_mode=wal", "CREATE TABLE new(x)", "PRAGMA user_version=99"):
        connection.execute(statement).fetchall()
    connection.close()
    before = (data / "dts.db").read_bytes()
    told = refusal(tmp_path, "--data", str(data), "--port", "0")
    assert "schema 99" in told
    assert "Use the dts that wrote it" in told
    assert (data / "dts.db").read_bytes() == before


def test_damaged_file_is_refused(tmp_path: Path) -> None:
    """A file that is no database is told as such and left alone."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "dts.db").write_bytes(b"this is no database" * 1000)
    assert "damaged" in refusal(tmp_path, "--data", str(data), "--port", "0")


def test_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """A file in its place, and one where nobody may write."""
    (tmp_path / "file").touch()
    assert "is no folder" in refusal(tmp_path, "--data", str(tmp_path / "file"))
    assert "cannot be used" in refusal(tmp_path, "--data", "/proc/data")


def test_open_address_is_refused_without_tls(tmp_path: Path) -> None:
    """Any address but loopback needs TLS or an explicit word."""
    told = refusal(tmp_path, "--data", str(tmp_path / "data"), "--host", "0.0.0.0", "--port", "0")
    assert "--insecure" in told
    assert not (tmp_path / "data").exists()


def test_tls_is_served(tmp_path: Path) -> None:
    """With certificate and key every address is allowed; a client that trusts them is served, another one is not."""
    certificate, key = make_certificate(tmp_path)
    env = {
        "DTS_SERVER_TLS_CERT": str(certificate),
        "DTS_SERVER_TLS_KEY": str(key),
    }
    with up(tmp_path, "--host", "0.0.0.0", "--no-worker", env=env) as stack:
        eventually((stack.data / "endpoint.json").exists, what="it is ready")
        found = local_endpoint(stack.data)
        with SyncAdminClient(found.url, found.token, verify=str(certificate)) as client:
            assert client.status().engine == "embedded"
        with SyncAdminClient(found.url, found.token) as client, pytest.raises(ApiError):
            client.status()
        with SyncAdminClient(found.url, found.token, verify=found.ca) as client:
            assert client.status().engine == "embedded"
        assert "https://127.0.0.1:" in stack.said()
        assert stack.stop() == 0


def test_part_that_dies_ends_the_stack(tmp_path: Path) -> None:
    """A daemon cannot go on: the process ends with its reason and status 1, and no worker is left."""
    broken = (
        "import sys\n"
        "from dts_core.daemons.porter import Porter\n"
        "async def run(self):\n"
        "    import asyncio\n"
        "    await asyncio.sleep(1)\n"
        "    raise RuntimeError('the test broke it')\n"
        "Porter.run = run\n"
        "from dts_core.cli import main\n"
        "main()\n"
    )
    data = tmp_path / "data"
    done = subprocess.run(
        [sys.executable, "-c", broken, "up", "--data", str(data), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(tmp_path),
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("dts: porter died: RuntimeError: the test broke it")
    assert "Traceback" in (data / "logs" / "server.log").read_text()
    assert not (data / "endpoint.json").exists()
    left = [
        each.pid
        for each in psutil.process_iter(["cmdline", "environ"])
        if str(data) in " ".join((each.info["environ"] or {}).values())
    ]
    eventually(lambda: not any(psutil.pid_exists(pid) for pid in left), what="all have ended")


def test_wrong_key_is_refused(tmp_path: Path) -> None:
    """File, key, and the nearest known one."""
    config = tmp_path / "server.toml"
    config.write_text("[server]\nprot = 1\n")
    told = refusal(tmp_path, "--data", str(tmp_path / "data"), "-c", str(config))
    assert f"{config}: server.prot: is not known. Did you mean port?" in told


def test_wrong_key_of_the_workers_is_refused_at_once(tmp_path: Path) -> None:
    """A worker that could never start is no stack that keeps on trying."""
    (tmp_path / "worker.toml").write_text("[agent]\npath = []\n")
    told = refusal(tmp_path, "--data", str(tmp_path / "data"), "--config-dir", str(tmp_path))
    assert "worker.toml: agent.path: is not known. Did you mean paths?" in told


def test_long_folder_name_is_refused(tmp_path: Path) -> None:
    """A socket's path is short: it is said before anything is written."""
    data = tmp_path / ("x" * 120)
    assert "shorter path" in refusal(tmp_path, "--data", str(data), "--port", "0")
    assert not data.exists()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_runs_on_both_loops(tmp_path: Path, loop: str) -> None:
    """Owner and worker run a job on either event loop; the heartbeat says which."""
    with (
        up(tmp_path, env={"DTS_LOOP": loop, "DTS_WORKER_LOOP": loop}) as stack,
        stack.client() as client,
    ):
        assert client.submit("sample/echo", args=[1], wait=60).state == "done"
        assert client.hosts().items[0].beat.loop == loop


def test_end_of_the_starting_process_ends_the_stack(tmp_path: Path) -> None:
    """With --parent-pipe the stack stops cleanly when the pipe's other end is closed."""
    reading, writing = os.pipe()
    data = tmp_path / "data"
    process = subprocess.Popen(
        [
            sys.executable,
            *OPTIONS,
            "--data",
            str(data),
            "--port",
            "0",
            "--no-worker",
            "--parent-pipe",
            str(reading),
        ],
        pass_fds=(reading,),
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(reading)
    try:
        eventually((data / "endpoint.json").exists)
        os.close(writing)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(60)


def test_samples_are_added_once(tmp_path: Path) -> None:
    """A new folder has the sample functions; what a person deleted does not come back."""
    with up(tmp_path, "--no-worker") as stack, _client(stack) as client:
        names = [function.id for function in client.functions.list(namespace="sample").items]
        assert "sample/wordcount" in names
        client.functions.delete("sample/wordcount")
        assert stack.stop() == 0
    with up(tmp_path, "--no-worker") as stack, _client(stack) as client:
        left = [function.id for function in client.functions.list(namespace="sample").items]
        assert left == [name for name in names if name != "sample/wordcount"]


def _client(stack: Up) -> SyncAdminClient:
    return stack.client(with_worker=False)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_stop_in_the_middle_of_work(tmp_path: Path) -> None:
    """With a job that runs on, an open stream and a long poll, the stop is clean, and the job is kept uncharged."""
    with up(tmp_path) as stack, stack.client() as client:
        client.namespaces.add("test")
        client.functions.add("test/sleep", "import time\ndef main():\n    time.sleep(60)\n")
        job = client.submit("test/sleep")
        eventually(lambda: client.job(job.id).state == "running", what="it runs")
        followers = [
            threading.Thread(target=_until_refused, args=(call,), daemon=True)
            for call in (
                lambda: list(client.stream(["jobs", "hosts"])),
                lambda: client.job(job.id, wait=60),
            )
        ]
        for follower in followers:
            follower.start()
        assert stack.stop() == 0
    with up(tmp_path, "--no-worker") as stack, _client(stack) as client:
        kept = client.job(job.id)
        assert (kept.state, kept.losses) == ("queued", 0)


def _until_refused(call: Callable[[], object]) -> None:
    # The stream tries to come back until its client is closed under it.
    with contextlib.suppress(DtsError, RuntimeError):
        call()
