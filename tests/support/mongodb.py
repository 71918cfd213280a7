"""A MongoDB for tests: the one that DTS_TEST_MONGODB_URL names, or a private server on a free port.

The private one speaks MongoDB's wire protocol and syncs each commit; `make services` installs it into an environment
of its own. It is a stand-in: MongoDB's own durability and failover are only proved with a server of one's own.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dts_core.names import new_id
from tests.support.ports import free_port
from tests.support.processes import freeze

if TYPE_CHECKING:
    from pymongo import MongoClient

URL_VARIABLE = "DTS_TEST_MONGODB_URL"
COMMAND = Path(__file__).parents[2] / ".venv-services" / "bin" / "secantusd-py"
ADVICE = f"make services, or set {URL_VARIABLE}"
START_SECONDS = 60.0
STOP_SECONDS = 60.0


def available() -> bool:
    """Whether tests can have a MongoDB here."""
    return URL_VARIABLE in os.environ or COMMAND.exists()


class MongoServer:
    """One private server: its folder outlives its process, its port stays the same.

    Args:
        folder: For its data and its output.
        options: Further ones of its command.
        login: USER:PASSWORD@ with which it is asked whether it answers.
        query: What has to follow the URL for that, with its question mark.
    """

    def __init__(self, folder: Path, *options: str, login: str = "", query: str = "") -> None:
        self._folder = folder
        self._options = options
        self._login, self._query = login, query
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Without a database's name."""
        return f"mongodb://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            AssertionError: It ended, or did not answer in time; tells what it printed.
        """
        output = self._folder / "server.log"
        with output.open("ab") as out:
            self._process = subprocess.Popen(
                [
                    str(COMMAND),
                    *("--host", "127.0.0.1", "--port", str(self.port)),
                    *("--storage-path", str(self._folder / "data")),
                    *("--cache-size", "64M", "--log-level", "WARNING", "--sync-on-commit"),
                    *self._options,
                ],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            said = output.read_text("utf-8", "replace")
            assert self._process.poll() is None, f"the server ended: {said}"
            assert time.monotonic() < deadline, f"the server does not answer: {said}"
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """A signal, and wait for its end. Nothing when it does not run."""
        if self._process is None or self._process.poll() is not None:
            return
        self.thaw()
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """kill -9, of this process alone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def restart(self) -> None:
        """Stop (when it runs) and start over the same folder and port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it stand still: connections stay, nothing is answered."""
        assert self._process is not None
        freeze(self._process.pid)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return _can_ping(f"mongodb://{self._login}127.0.0.1:{self.port}/{self._query}")
        return False


class MongoAddress:
    """Where databases of this test run are; each test takes a name of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._taken: list[str] = []
        self._shared = ""

    def fresh(self) -> str:
        """The URL of a database that nobody else uses."""
        name = f"dts_test_{new_id().lower()}"
        self._taken.append(name)
        before, mark, options = self._url.partition("?")
        address = before.split("//", 1)[1]
        base = before[: len(before) - len(address)] + address.partition("/")[0]
        return f"{base}/{name}{mark}{options}"

    def empty(self) -> str:
        """The URL of the database that tests share one after the other: its indexes stay, its documents go."""
        if not self._shared:
            self._shared = self.fresh()
        with contextlib.closing(_client(self._shared)) as client:
            database = client.get_default_database()
            for name in database.list_collection_names():
                database[name].delete_many({})
        return self._shared

    def forget(self) -> None:
        """Drop every database that was taken."""
        with contextlib.closing(_client(self._url)) as client:
            while self._taken:
                client.drop_database(self._taken.pop())


@contextlib.contextmanager
def mongodb_address(folder: Path) -> Iterator[MongoAddress]:
    """The MongoDB of this test run, started when there is none to be had."""
    if url := os.environ.get(URL_VARIABLE, ""):
        address = MongoAddress(url)
        try:
            yield address
        finally:
            address.forget()
        return
    with private_mongodb(folder) as server:
        yield MongoAddress(server.url)


@contextlib.contextmanager
def private_mongodb(
    folder: Path, *options: str, login: str = "", query: str = ""
) -> Iterator[MongoServer]:
    """A server for one test to stop, kill and freeze; see MongoServer."""
    server = MongoServer(folder, *options, login=login, query=query)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def documents_in(url: str) -> list[tuple[str, bytes]]:
    """(collection/id, BSON) of every document of a database, as it is stored."""
    import bson

    with contextlib.closing(_client(url)) as client:
        database = client.get_default_database()
        return [
            (f"{name}/{document['_id']}", bson.encode(document))
            for name in database.list_collection_names()
            for document in database[name].find()
        ]


def _client(url: str) -> "MongoClient[dict[str, Any]]":
    from pymongo import MongoClient  # only where a server is asked for: it takes its time

    return MongoClient(url, serverSelectionTimeoutMS=2_000, socketTimeoutMS=10_000)


def _can_ping(url: str) -> bool:
    from pymongo.errors import PyMongoError

    with contextlib.closing(_client(url)) as client:
        try:
            client.admin.command("ping")
        except PyMongoError:
            return False
    return True
