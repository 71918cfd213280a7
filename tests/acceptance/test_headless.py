"""`dts server` and `dts-worker` as separate processes, from the files that ship."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dts_core.clients import SyncAdminClient
from dts_core.clients.endpoint import local_endpoint
from dts_core.resources import etc_folder
from tests.support.processes import START_SECONDS, Running, eventually

ECHO = "def main(value):\n    return value\n"


@pytest.fixture
def home() -> Iterator[Path]:
    """A short path: the socket's may have 103 bytes, and most of them go into `.local/share`."""
    with tempfile.TemporaryDirectory(prefix="dts-") as folder:
        yield Path(folder)


def start(folder: Path, *, dev: bool) -> tuple[Running, Running]:
    """Server and worker with HOME in `folder`."""
    etc, flag = etc_folder(), ["-d"] if dev else []
    server = Running(
        ["-m", "dts_core.cli", "server", "-c", str(etc / "server.toml"), *flag],
        folder,
        env={"DTS_SERVER_PORT": "0"},
    )
    worker = Running(["-m", "dts_worker.cli", "-c", str(etc / "worker.toml"), *flag], folder)
    return server, worker


def data_folder(folder: Path, *, dev: bool) -> Path:
    return folder / ".local" / "share" / "dts" / ("server-dev" if dev else "server")


def connected(data: Path, server: Running) -> SyncAdminClient:
    def look() -> SyncAdminClient | None:
        assert server.process.poll() is None, server.said()
        found = local_endpoint(data)
        client = SyncAdminClient(found.url, found.token)
        if client.hosts().items:
            return client
        client.close()
        return None

    found = eventually(look, seconds=START_SECONDS, what="server and worker are there")
    assert found is not None
    return found


@pytest.mark.parametrize("dev", [False, True], ids=["plain", "dev"])
def test_server_and_worker_run_a_job(home: Path, dev: bool) -> None:
    """They meet by the files of etc/ alone; with -d the job lands in the development store only."""
    server, worker = start(home, dev=dev)
    try:
        with connected(data_folder(home, dev=dev), server) as client:
            client.namespaces.add("test")
            client.functions.add("test/echo", ECHO)
            job = client.submit("test/echo", args=["here"], wait=60)
            assert (job.state, job.result) == ("done", "here")
        assert not data_folder(home, dev=not dev).exists()
        story = (data_folder(home, dev=dev) / "logs" / "server.log").read_text()
        assert ("[store-dev]" in story) == dev
        assert worker.stop() == 0
        assert server.stop() == 0
    finally:
        worker.end()
        server.end()


def test_worker_waits_for_its_server(home: Path) -> None:
    """Started first, or left alone for a while, a worker links up by itself and goes on."""
    server, worker = start(home, dev=False)
    try:
        with connected(data_folder(home, dev=False), server) as client:
            client.namespaces.add("test")
            client.functions.add("test/echo", ECHO)
        assert server.stop() == 0
        server, other = start(home, dev=False)
        other.end()
        with connected(data_folder(home, dev=False), server) as client:
            assert client.submit("test/echo", args=[2], wait=60).result == 2
        assert worker.process.poll() is None
    finally:
        worker.end()
        server.end()
