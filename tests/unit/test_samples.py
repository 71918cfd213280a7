"""The sample functions, each run by its own `main` on real input."""

import ast
import asyncio
import hashlib
import importlib.util
import inspect
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

import dts_core
from dts_core.names import is_name
from dts_core.resources import etc_folder
from tests.support.processes import eventually

FOLDER = etc_folder() / "functions"
NAMES = sorted(file.stem for file in FOLDER.glob("*.py"))


@dataclass
class FakeJob:
    """What `from dts_core import job` gives a function, with everything reported kept."""

    attempt: int = 1
    cancel_after: int | None = None
    reports: list[tuple[float, str]] = field(default_factory=list)
    id: str = "01TEST"
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("job"))

    def progress(self, fraction: float, text: str = "") -> None:
        self.reports.append((fraction, text))

    @property
    def cancelled(self) -> bool:
        return self.cancel_after is not None and len(self.reports) >= self.cancel_after


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> FakeJob:
    fake = FakeJob()
    monkeypatch.setitem(vars(dts_core), "job", fake)
    return fake


def load(name: str) -> ModuleType:
    """Load a sample as the worker does: from its file, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"sample_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_samples_are_all_there() -> None:
    """A new data folder has these functions; a lost file would go unnoticed otherwise."""
    assert NAMES == [
        "burn",
        "diskusage",
        "echo",
        "fail",
        "fetch",
        "hashtree",
        "noop",
        "steps",
        "wordcount",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_form_can_be_made_from_the_signature(name: str, job: FakeJob) -> None:
    """Each sample has a valid name, a summary, and a type and help for each parameter."""
    main = load(name).main
    assert is_name(name)
    assert main.__doc__.splitlines()[0].endswith(".")
    for parameter in inspect.signature(main).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
        assert f"    {parameter.name}: " in main.__doc__


@pytest.mark.parametrize("name", NAMES)
def test_samples_need_only_the_standard_library(name: str) -> None:
    """A sample runs on any host that has Python."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))
    for node in ast.walk(tree):
        tops = []
        if isinstance(node, ast.Import):
            tops = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            tops = [(node.module or "").split(".")[0]]
        assert set(tops) <= sys.stdlib_module_names | {"dts_core"}


# --- wordcount -------------------------------------------------------------------------------


def wc(file: Path) -> list[int]:
    """Return lines, words, chars and bytes as the system's own `wc` counts them."""
    out = subprocess.run(
        ["wc", "-l", "-w", "-m", "-c", str(file)],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    return [int(word) for word in out.stdout.split()[:4]]


@pytest.mark.external("wc")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"one",
        b"one two\nthree\n",
        b"\n\n  \t\v\f\r\n",
        b"no newline at the end ",
        "häßlich · 日本語\u3000二 — ok\u00a0nbsp\u2003em".encode(),
        b"bad \xff\xfe bytes \xc3\x28 and \xf0\x9f\x98 cut",
        b"\x00nul \x00 \x1b[31mred\x1b[0m \x1c\x1d x\x1fy",
        b"a" * 3_000_000 + b" " + b"b" * 10,
        b"word " * 700_000,
    ],
    ids=lambda content: repr(bytes(content[:16])),
)
def test_wordcount_counts_as_wc(content: bytes, tmp_path: Path, job: FakeJob) -> None:
    """Lines, words, characters and bytes equal those of `wc`, across pieces and bad bytes."""
    file = tmp_path / "text"
    file.write_bytes(content)
    got = load("wordcount").main(str(file))
    assert [got[key] for key in ("lines", "words", "chars", "bytes")] == wc(file)


@pytest.mark.external("wc")
def test_wordcount_counts_as_wc_on_random_bytes(tmp_path: Path, job: FakeJob) -> None:
    """No mix of spaces, letters, controls and broken UTF-8 makes the count differ from `wc`."""
    alphabet = [b" ", b"\n", b"\t", b"a", b"Z", b"\x00", b"\x1b", b"\xff", b"\xc3", b"\xa4"]
    alphabet += [part.encode() for part in ("ä", "—", "日", "\u00a0", "\u2009", "\u3000", "😀")]
    rng = random.Random(7)
    module: Any = load("wordcount")
    module._CHUNK_BYTES = 7  # many seams between pieces
    file = tmp_path / "text"
    for _ in range(40):
        file.write_bytes(b"".join(rng.choices(alphabet, k=rng.randrange(200))))
        got = module.main(str(file))
        assert [got[key] for key in ("lines", "words", "chars", "bytes")] == wc(file)


def test_wordcount_names_the_most_common_words(tmp_path: Path, job: FakeJob) -> None:
    """Case and punctuation around a word do not split its count; progress ends at 1."""
    file = tmp_path / "text"
    file.write_text("The cat, the dog; THE end. (cat)")
    got = load("wordcount").main(str(file))
    assert got["most_common"][:2] == [["the", 3], ["cat", 2]]
    assert job.reports[-1][0] == 1.0


def test_wordcount_of_a_missing_file_names_it(tmp_path: Path, job: FakeJob) -> None:
    """The error that an operator reads contains the path."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load("wordcount").main(str(tmp_path / "nowhere"))


# --- hashtree --------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"alpha")
    (root / "sub" / "b.py").write_bytes(b"beta")
    (root / "link").symlink_to(root / "a.txt")
    return root


def test_hashtree_hashes_files_and_follows_no_link(tree: Path, job: FakeJob) -> None:
    """Each regular file once, with its real digest, in order of its path."""
    got = load("hashtree").main(str(tree))
    assert got["entries"] == [
        {"path": "a.txt", "digest": hashlib.sha256(b"alpha").hexdigest()},
        {"path": "sub/b.py", "digest": hashlib.sha256(b"beta").hexdigest()},
    ]
    assert (got["files"], got["bytes"], got["complete"]) == (2, 9, True)


def test_hashtree_digest_tells_content_and_name(tree: Path, job: FakeJob) -> None:
    """The tree's digest ignores times and changes with content or name."""
    main = load("hashtree").main
    first = main(str(tree))["digest"]
    os.utime(tree / "a.txt", (1, 1))
    assert main(str(tree))["digest"] == first
    (tree / "a.txt").rename(tree / "c.txt")
    renamed = main(str(tree))["digest"]
    (tree / "c.txt").write_bytes(b"other")
    assert len({first, renamed, main(str(tree))["digest"]}) == 3


def test_hashtree_takes_a_pattern_and_another_algorithm(tree: Path, job: FakeJob) -> None:
    """Only names that fit are hashed, with the function asked for."""
    got = load("hashtree").main(str(tree), pattern="*.py", algorithm="blake2b")
    assert [entry["path"] for entry in got["entries"]] == ["sub/b.py"]
    assert got["entries"][0]["digest"] == hashlib.blake2b(b"beta").hexdigest()


def test_hashtree_shows_a_name_that_is_not_utf8(tree: Path, job: FakeJob) -> None:
    """A file name of any bytes can be told in JSON."""
    os.close(os.open(os.fsencode(tree) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    names = [entry["path"] for entry in load("hashtree").main(str(tree))["entries"]]
    assert r"\xff" in names


def test_hashtree_stops_when_cancelled(tree: Path, job: FakeJob) -> None:
    """A cancelled run says that it is not complete."""
    job.cancel_after = 1
    got = load("hashtree").main(str(tree))
    assert (got["files"], got["complete"]) == (1, False)


def test_hashtree_refuses_what_is_no_folder(tree: Path, job: FakeJob) -> None:
    """A file instead of a folder is said so, instead of an empty result."""
    with pytest.raises(NotADirectoryError):
        load("hashtree").main(str(tree / "a.txt"))


# --- diskusage -------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="compares with GNU du")
def test_diskusage_counts_as_du(tmp_path: Path, job: FakeJob) -> None:
    """The total equals `du -x`: allocated blocks, and a file with two names once."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "big").write_bytes(os.urandom(300_000))
    (tmp_path / "small").write_bytes(b"x")
    os.link(tmp_path / "small", tmp_path / "same")
    got = load("diskusage").main(str(tmp_path))
    du = subprocess.run(
        ["du", "-x", "-s", "-B1", str(tmp_path)], capture_output=True, check=True, text=True
    )
    assert got["bytes"] == int(du.stdout.split()[0])
    assert got["files"] == 2
    assert got["folders"][0]["path"] == "deep"
    assert got["largest"][0]["path"] == "deep/er/big"
    assert got["filesystem"]["total"] > 0
    assert got["complete"]


def test_diskusage_lists_folders_to_the_depth_asked_for(tmp_path: Path, job: FakeJob) -> None:
    """A folder's size contains what is below it, listed or not."""
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c" / "file").write_bytes(b"x" * 10_000)
    main = load("diskusage").main
    assert main(str(tmp_path), depth=0)["folders"] == []
    sizes = {row["path"]: row["bytes"] for row in main(str(tmp_path), depth=2)["folders"]}
    assert set(sizes) == {"a", "a/b"}
    assert sizes["a"] >= sizes["a/b"] >= 10_000


@pytest.mark.parametrize(("depth", "top"), [(-1, 5), (11, 5), (1, 0), (1, 101)])
def test_diskusage_refuses_numbers_out_of_range(
    depth: int, top: int, tmp_path: Path, job: FakeJob
) -> None:
    """The error names the parameter and its range."""
    with pytest.raises(ValueError, match="must be"):
        load("diskusage").main(str(tmp_path), depth=depth, top=top)


# --- fetch -----------------------------------------------------------------------------------


class Pages(BaseHTTPRequestHandler):
    """A site with one page of each kind that `fetch` must cope with."""

    streams: ClassVar[list[tuple[str, bool]]] = []
    """Of each body in pieces that is over: its path, and whether all of it was sent."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            return self.answer(302, location="/page")
        if self.path == "/file":
            return self.answer(302, location="file:///etc/passwd")
        if self.path == "/missing":
            return self.answer(404, b"no such page")
        if self.path == "/endless":
            return self.stream(b"x" * (1 << 16))
        if self.path == "/slow":
            return self.stream(b"x", pause=0.05)
        return self.answer(200, b"hello world")

    def answer(self, status: int, body: bytes = b"", location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, piece: bytes, pause: float = 0.0) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(300):
                self.wfile.write(piece)
                time.sleep(pause)
            self.streams.append((self.path, True))
        except OSError:
            self.close_connection = True
            self.streams.append((self.path, False))

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test output quiet."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_fetch_reports_what_it_got(site: str, job: FakeJob) -> None:
    """Status, size, type and digest of the body, and the text was found."""
    got = load("fetch").main(f"{site}/page", contains="world")
    assert (got["status"], got["bytes"], got["content_type"]) == (200, 11, "text/plain")
    assert got["sha256"] == hashlib.sha256(b"hello world").hexdigest()


def test_fetch_follows_redirects_within_http(site: str, job: FakeJob) -> None:
    """The last address is told; a redirect to a file is never opened."""
    fetch = load("fetch")
    assert fetch.main(f"{site}/moved")["url"] == f"{site}/page"
    with pytest.raises((fetch.CheckFailed, ConnectionError)):
        fetch.main(f"{site}/file")


def test_fetch_fails_when_the_answer_is_another(site: str, job: FakeJob) -> None:
    """A wrong status or a missing text fails the job and says which."""
    fetch = load("fetch")
    with pytest.raises(fetch.CheckFailed, match="status 404, expected 200"):
        fetch.main(f"{site}/missing")
    with pytest.raises(fetch.CheckFailed, match="without the text"):
        fetch.main(f"{site}/page", contains="goodbye")
    assert fetch.main(f"{site}/missing", expect_status=404)["status"] == 404


def test_fetch_reads_a_bounded_body(site: str, job: FakeJob) -> None:
    """A body without end is cut at 10 MiB and marked so."""
    got = load("fetch").main(f"{site}/endless")
    assert (got["bytes"], got["truncated"]) == (10 << 20, True)


def test_fetch_keeps_its_time_over_the_whole_answer(site: str, job: FakeJob) -> None:
    """A server that drips bytes does not stretch the time limit: it is left in the middle of its answer."""
    Pages.streams.clear()
    with pytest.raises(TimeoutError, match="the body was not complete in time"):
        load("fetch").main(f"{site}/slow", timeout_seconds=0.3)
    assert eventually(lambda: Pages.streams, what="the server is done") == [("/slow", False)]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "/etc/passwd", ""])
def test_fetch_refuses_other_addresses(url: str, job: FakeJob) -> None:
    """Only http and https; a job cannot read the worker's files this way."""
    with pytest.raises(ValueError, match="http"):
        load("fetch").main(url)


def test_fetch_says_that_nobody_answers(job: FakeJob) -> None:
    """A closed port is a connection error that names the address."""
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:1"):
        load("fetch").main("http://127.0.0.1:1/")


# --- burn, steps, fail, echo, noop -----------------------------------------------------------


def test_burn_uses_the_processor(job: FakeJob) -> None:
    """Work is done for about the time asked for, and reported."""
    got = load("burn").main(seconds=0.3)
    assert got["rounds"] > 0
    assert got["seconds"] >= 0.3
    assert got["cpu_seconds"] > 0
    assert got["complete"]


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_burn_uses_two_cores(job: FakeJob) -> None:
    """The second core's work is counted too."""
    got = load("burn").main(seconds=0.3, cores=2)
    assert got["cores"] == 2
    assert got["rounds"] > 0


def test_burn_stops_when_cancelled(job: FakeJob) -> None:
    """A cancelled burner ends long before its time."""
    job.cancel_after = 1
    got = load("burn").main(seconds=60)
    assert got["seconds"] < 20
    assert not got["complete"]


@pytest.mark.parametrize(("seconds", "cores"), [(0, 1), (3601, 1), (1, 0), (1, 100_000)])
def test_burn_refuses_numbers_out_of_range(seconds: float, cores: int, job: FakeJob) -> None:
    """Nothing is started when a number makes no sense."""
    with pytest.raises(ValueError, match=r"seconds|cores"):
        load("burn").main(seconds=seconds, cores=cores)


def test_steps_logs_and_reports(job: FakeJob, caplog: pytest.LogCaptureFixture) -> None:
    """One line of the level asked for and one report a step; the last report is 1."""
    with caplog.at_level(logging.DEBUG, logger="job"):
        got = load("steps").main(count=3, delay_seconds=0, level="warning")
    assert got == {"steps": 3, "complete": True}
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert [fraction for fraction, _ in job.reports] == [1 / 3, 2 / 3, 1.0]


def test_steps_stops_when_cancelled(job: FakeJob) -> None:
    """A cancelled run returns what it did so far."""
    job.cancel_after = 2
    assert load("steps").main(count=5, delay_seconds=0) == {"steps": 2, "complete": False}


@pytest.mark.parametrize(("count", "delay"), [(0, 0), (10_001, 0), (1, -1), (1, 61)])
def test_steps_refuses_numbers_out_of_range(count: int, delay: float, job: FakeJob) -> None:
    """A number out of range fails at once, before the first step."""
    with pytest.raises(ValueError, match="must be"):
        load("steps").main(count=count, delay_seconds=delay)
    assert job.reports == []


@pytest.mark.parametrize(
    ("attempt", "times", "fails"), [(1, 1, True), (2, 1, False), (1, 0, False)]
)
def test_fail_fails_the_first_attempts(attempt: int, times: int, fails: bool, job: FakeJob) -> None:
    """With `times` = 1 the first attempt fails and the retry succeeds."""
    job.attempt = attempt
    main = load("fail").main
    if fails:
        with pytest.raises(RuntimeError, match="boom"):
            main("boom", times)
    else:
        assert main("boom", times) == f"succeeded on attempt {attempt}"


def test_echo_and_noop_are_awaited(job: FakeJob) -> None:
    """Both are coroutines; echo gives back any JSON value as it was."""
    value = {"list": [1, None, "x"], "text": "ä"}
    assert asyncio.run(load("echo").main(value)) == value
    assert asyncio.run(load("noop").main()) is None
