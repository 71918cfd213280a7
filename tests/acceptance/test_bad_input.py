"""Bad input from outside against real processes: one line with advice, the right status, nothing half-written."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from dts_core.clients import SyncAdminClient
from tests.support.processes import Up, environment, up

ADD = "def main(a: int, b: int = 1) -> int:\n    return a + b\n"
JSON = {"Content-Type": "application/json"}


class Stack:
    """A running stack, and how much it holds."""

    def __init__(self, stack: Up, client: SyncAdminClient) -> None:
        self.up, self.client = stack, client
        self.home = stack.folder
        self.port = int(client.url.rsplit(":", 1)[1])

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request as the administrator; `headers` may replace the token."""
        headers = {"Authorization": f"Bearer {self.client.token}"} | options.pop("headers", {})
        return httpx.request(
            method, f"{self.client.url}{path}", headers=headers, timeout=60, **options
        )

    def rows(self) -> dict[str, int]:
        """Rows of every table that a request could write to, and messages of jobs since the start."""
        connection = apsw.Connection(str(self.up.data / "dts.db"), flags=apsw.SQLITE_OPEN_READONLY)
        tables = ("jobs", "dead_letters", "documents", "idempotency", "blobs", "uploads")
        counted = {name: len(list(connection.execute(f"SELECT 1 FROM {name}"))) for name in tables}
        connection.close()
        queues = self.client.queues().items
        published = sum(each.published for each in queues if each.name.startswith("jobs."))
        return counted | {"messages": published}

    def cli(self, *arguments: str | bytes) -> "subprocess.CompletedProcess[str]":
        """A `dts` command against it."""
        return dts(self.home, *arguments, "--data", str(self.up.data))


def dts(home: Path, *arguments: str | bytes) -> "subprocess.CompletedProcess[str]":
    """A `dts` command."""
    return subprocess.run(
        [sys.executable, "-m", "dts_core.cli", *arguments],
        capture_output=True, text=True, errors="replace", timeout=60, check=False,
        env=environment(home) | {"LANG": "C.UTF-8"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with up(tmp_path_factory.mktemp("bad")) as running, running.client() as client:
        client.namespaces.add("test")
        client.functions.add("test/add", ADD)
        client.functions.add("test/any", "def main(value):\n    return value\n")
        yield Stack(running, client)


def told(done: "subprocess.CompletedProcess[str]", status: int, *words: str) -> None:
    """One line on standard error with these words, nothing on standard output, that exit status."""
    assert done.returncode == status, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("dts: ")
    assert "Traceback" not in done.stderr
    assert "DTS_DEBUG" not in done.stderr  # that is for defects
    assert [word for word in words if word not in done.stderr] == [], done.stderr


# --- files


FILES: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "bad type": (b'[server]\nport = "seven"\n', ("server.toml", "server.port", "int", "seven")),
    "out of bounds": (b"[server]\nport = 70000\n", ("server.toml", "server.port")),
    "not TOML": (b"[server\nport = 1\n", ("server.toml", "line 1")),
    "not UTF-8": (b"[server]\nhost = '\xff'\n", ("server.toml", "byte 17", "line 2")),
    "unknown table": (b"[sever]\nport = 1\n", ("server.toml", "sever", "server?")),
    "a table as a value": (b"server = 1\n", ("server.toml", "server")),
    "NUL": (b"[server]\nhost = '\x00'\n", ("server.toml",)),
    "twice": (b"[server]\nport = 1\nport = 2\n", ("server.toml", "line 3")),
    "nan": (b"[stethoscope]\nlost_seconds = nan\n", ("server.toml",)),
}


@pytest.mark.parametrize("what", FILES)
def test_a_wrong_file_is_told_with_its_place(tmp_path: Path, what: str) -> None:
    """File, and key or place in it; nothing is made in the data folder."""
    content, words = FILES[what]
    config = tmp_path / "server.toml"
    config.write_bytes(content)
    data = tmp_path / "data"
    told(dts(tmp_path, "up", "--data", str(data), "-c", str(config), "--port", "0"), 1, *words)
    assert not data.exists()


@pytest.mark.parametrize("what", ["missing", "a folder", "of another kind", "a socket"])
def test_a_file_that_is_none_is_told(tmp_path: Path, what: str) -> None:
    """The path in the message, and nothing is made."""
    config = tmp_path / ("server.ini" if what == "of another kind" else "server.toml")
    if what == "a folder":
        config.mkdir()
    elif what == "of another kind":
        config.write_text("port=1")
    elif what == "a socket":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(config))
    data = tmp_path / "data"
    told(dts(tmp_path, "up", "--data", str(data), "-c", str(config)), 1, config.name)
    assert not data.exists()


# --- the command line


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["submit", "test/none"], 1, ["test/none"]),
        (["submit", "test/add"], 1, ["a: "]),
        (["submit", "test/add", "--arg", "1", "--arg", "2", "--arg", "3"], 1, ["too many"]),
        (["submit", "test/add", "--arg", '"x"'], 1, ["integer"]),
        (["submit", "test/add", "--arg", "1", "--kw", "a=2"], 1, ["a: "]),
        (["submit", "test/add", "--kw", "a=1", "--kw", "a=2"], 2, ["--kw a", "twice"]),
        (["submit", "test/add", "--arg", "{"], 2, ["--arg", "JSON"]),
        (["submit", "test/add", "--kw", "a"], 2, ["NAME=JSON"]),
        (["submit", "test/any", "--arg", "NaN"], 2, ["JSON"]),
        (["submit", "test/any", "--arg", "[" * 100_000], 2, ["JSON"]),
        (["submit", "test/any", "--arg", b'"\xff\xfe"'], 2, ["--arg", "JSON"]),
        (["submit", "test/add", "--arg", "1", "--key", "\u20ac"], 1, ["request"]),
        (["submit", "test/add", "--arg", "1", "--timeout", "nan"], 1, ["timeout_seconds"]),
        (["submit", "test/add", "--arg", "1", "--delay", "1e308"], 1, ["delay_seconds"]),
        (["submit", "test/add", "--arg", "1", "--retries", str(10**30)], 1, ["retries"]),
        (["submit", b"\xff/\xfe"], 1, ["Unicode"]),
        (["jobs", "--state", "dnoe"], 1, ["dnoe"]),
        (["jobs", "--cursor", "x"], 1, ["cursor"]),
        (["jobs", "--limit", "-1"], 2, ["--limit"]),
        (["job", "../admin/users"], 1, ["no job", "path"]),
        (["job", ""], 1, ["no id"]),
        (["job", b"\xff"], 1, ["job"]),
        (["logs", "--level", "loud"], 2, ["--level"]),
        (["functions", "add", "test/x", "/nowhere.py"], 1, ["/nowhere.py"]),
        (["functions", "add", "test/x", "/"], 1, ["/"]),
        (["status", "--context", "nowhere"], 1, ["nowhere"]),
        (["sumbit", "test/add"], 2, ["submit?"]),
    ],
)
def test_wrong_commands_are_told_in_one_line(
    stack: Stack, arguments: list[str | bytes], status: int, words: list[str]
) -> None:
    """Exit status 2 for what the command line itself can see, 1 for what the server refuses; nothing is stored."""
    before = stack.rows()
    done = stack.cli(*arguments)
    if len(words) == 2 and words[0] == "no job":
        assert any(word in done.stderr for word in words), done.stderr
        words = []
    told(done, status, *words)
    assert stack.rows() == before


# --- the API


def nested(depth: int) -> bytes:
    return b'{"function":"test/any","args":[' + b"[" * depth + b"]" * depth + b"]}"


BODIES: dict[str, tuple[bytes, int]] = {
    "nested 100,000 deep": (nested(100_000), 422),
    "NaN": (b'{"function":"test/any","args":[NaN]}', 400),
    "Infinity": (b'{"function":"test/any","args":[-Infinity]}', 400),
    "1e999": (b'{"function":"test/any","priority":1e999}', 400),
    "lone surrogate": (b'{"function":"test/any","args":["\\ud800"]}', 400),
    "huge priority": (b'{"function":"test/any","args":[1],"priority":' + b"9" * 400 + b"}", 422),
    "invalid UTF-8": (b'{"function":"test/any","args":["\xff"]}', 400),
    "BOM": (b'\xef\xbb\xbf{"function":"test/any","args":[1]}', 400),
    "two values": (b'{"function":"test/any","args":[1]}{}', 400),
    "9 MB": (b'{"function":"test/any","args":["' + b"x" * (9 << 20) + b'"]}', 413),
    "2 MB": (b'{"function":"test/any","args":["' + b"x" * (2 << 20) + b'"]}', 413),
}


@pytest.mark.parametrize("what", BODIES)
def test_bodies_that_are_no_request_are_refused(stack: Stack, what: str) -> None:
    """The right status, a problem with advice, and no row more than before."""
    body, status = BODIES[what]
    before = stack.rows()
    answer = stack.ask("POST", "/jobs", content=body, headers=JSON)
    assert answer.status_code in (status, 400, 422) if status != 413 else answer.status_code == 413
    problem = answer.json()
    assert problem["detail"]
    assert problem["advice"]
    assert "\n" not in problem["detail"]
    assert stack.rows() == before


def test_numbers_of_any_size_and_repeated_keys_arrive_as_json_says(stack: Stack) -> None:
    """What is valid JSON is no bad input: huge integers survive, of repeated keys the last one counts."""
    huge = 10**200
    body = b'{"function":"test/any","args":[0],"args":[%d]}' % huge
    answer = stack.ask("POST", "/jobs?wait=60", content=body, headers=JSON)
    assert answer.status_code == 201, answer.text
    assert json.loads(answer.text)["result"] == huge


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer " + "x" * 20_000},
        {"Authorization": "Bearer \\x00"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {"Authorization": ""},
    ],
)
def test_tokens_that_are_none_are_refused(stack: Stack, headers: dict[str, str]) -> None:
    """401 with advice, whatever they look like."""
    answer = stack.ask("GET", "/jobs", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["advice"]


@pytest.mark.parametrize("key", ["x" * 10_000, "a b\tc", "x:y/z", "\u00e9".encode("latin-1")])
def test_idempotency_keys_that_are_none_are_refused_or_taken(
    stack: Stack, key: str | bytes
) -> None:
    """Never a failure of the server; a refusal stores nothing."""
    before = stack.rows()
    answer = stack.ask(
        "POST", "/jobs", json={"function": "test/add", "args": [1]},
        headers={"Idempotency-Key": key},
    )  # fmt: skip
    assert answer.status_code in (201, 422), answer.text
    if answer.status_code == 422:
        assert answer.json()["advice"]
        assert stack.rows() == before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/jobs?wait=1e9", 422), ("/jobs?colour=red", 422), ("/jobs?limit=-1", 422),
        ("/jobs?cursor=%00", 422), ("/jobs?state=done,nothing", 422), ("/jobs?since=yesterday", 422),
        ("/jobs/counts/more", 404), ("/jobs/" + "x" * 5000, 404), ("/jobs/%00", 404),
        ("/jobs/x?wait=1e9", 422), ("/jobs/x?wait=nan", 422), ("/jobs/x?wait=-1", 422),
        ("/stream?topics=everything", 422), ("/stream?topics=", 422), ("/logs?level=loud", 422),
        ("/logs?after=-1", 422), ("/hosts/%1b%5b2J", 404), ("/nothing", 404),
        ("/..%2f..%2fetc/passwd", 404),
    ],
)  # fmt: skip
def test_questions_that_do_not_fit_are_refused(stack: Stack, path: str, status: int) -> None:
    """The right status, a problem, and nothing that a terminal would obey in it."""
    answer = stack.ask("GET", path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "\x1b" not in answer.text


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_methods_that_a_path_does_not_have_are_refused(stack: Stack, method: str) -> None:
    """405 or 404 for what the parser knows as a method, as a problem."""
    answer = stack.ask(method, "/jobs")
    assert answer.status_code in (404, 405), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_flood_of_bad_input_leaves_the_server_as_it_was(stack: Stack) -> None:
    """Half requests, garbage and cut bodies on many sockets: calls beside them are answered, and memory stays."""
    import psutil

    process = psutil.Process(stack.up.process.pid)
    before = process.memory_info().rss
    head = (
        b"POST /jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
        % stack.client.token.encode()
    )
    half = (
        head + b"Content-Type: application/json\r\nContent-Length: 5000000\r\n\r\n" + b'{"' * 50_000
    )
    rows = stack.rows()
    sockets = []
    for number in range(200):
        sock = socket.create_connection(("127.0.0.1", stack.port))
        sockets.append(sock)
        sock.sendall((half, b"\x00" * 1000, b"GET / HT", os.urandom(500))[number % 4])
    started = time.monotonic()
    for _ in range(20):
        assert stack.client.counts() is not None
    print(f"20 calls beside 200 bad clients took {time.monotonic() - started:.2f} s")
    for sock in sockets:
        sock.close()
    assert stack.rows() == rows
    assert process.memory_info().rss - before < 200 << 20
    assert stack.up.process.poll() is None
