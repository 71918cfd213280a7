"""The tutorial works: its shell commands, in their order, against a real stack."""

import os
import re
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dts_core.cli.table import COMMANDS
from tests.support.processes import Up, environment, up

pytestmark = [pytest.mark.serial, pytest.mark.slow]
DOCS = Path(__file__).parents[2] / "docs"
_SH = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "=== block"


def blocks(name: str) -> list[str]:
    """The shell blocks of a page, in their order."""
    return _SH.findall((DOCS / name).read_text("utf-8"))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One stack for both pages."""
    folder = tmp_path_factory.mktemp("guides")
    (folder / ".venv").symlink_to(sys.prefix)
    with up(folder) as running:
        running.client().close()
        yield running


def follow(stack: Up, page: str) -> list[str]:
    """What each block of a page printed; all of them ran in one shell, which stops at the first failure."""
    script = "\n".join(f"echo '{MARK}'\n{block}" for block in blocks(page))
    env = environment(stack.folder) | {"DTS_DATA": str(stack.data)}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=stack.folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split(MARK)[1:]


@pytest.fixture(scope="module")
def told(stack: Up) -> list[str]:
    """What the tutorial's blocks printed."""
    return follow(stack, "tutorial.md")


def part(told: list[str], holding: str) -> str:
    """What the one block printed whose text holds this."""
    places = [at for at, block in enumerate(blocks("tutorial.md")) if holding in block]
    assert len(places) == 1, (holding, places)
    return told[places[0]]


def test_the_sample_and_the_own_function_are_done(told: list[str]) -> None:
    """Run a sample, push a function, run it, see its log."""
    assert '"complete": true' in part(told, "--kw count=3 --kw delay")
    assert "created sample/lines" in part(told, "cat > lines.py")
    first = part(told, "mkdir -p texts")
    assert '"3.txt": 2' in first
    assert "3.txt: 2" in first.partition("}")[2]


def test_what_does_not_fit_is_refused_and_what_fails_is_shown(told: list[str]) -> None:
    """A missing argument never becomes a job; a failure is listed; a retry succeeds at the second attempt or later."""
    assert "refused, as it should be" in part(told, "refused, as it should be")
    failed = part(told, "/nowhere")
    assert "FileNotFoundError: no *.txt in /nowhere" in failed
    assert "failed, as it should" in failed
    again = part(told, "--retries 3")
    assert "● done" in again
    assert re.search(r"attempt [234]\b", again)


def test_cancel_is_confirmed_and_a_change_counts_at_once(told: list[str]) -> None:
    """The cancelled job ends as cancelled; the next job runs the new version."""
    assert "⊘ cancelled" in part(told, "dts cancel")
    changed = part(told, "sed -i.bak")
    assert "changed sample/lines" in changed
    assert '"1.txt": 2' in changed


def test_the_python_part_prints_the_result(told: list[str]) -> None:
    """From Python, too."""
    assert "{'steps': 3, 'complete': True}" in part(told, "SyncClient")


@pytest.mark.external("curl")
def test_the_howto_works(stack: Up) -> None:
    """A namespace and users are added, a plugin answers, and the copy of the database is whole."""
    told = follow(stack, "howto.md")
    assert any('"hello anna"' in each for each in told)
    [tried] = [each for each in told if "is tried, for 100% of the jobs" in each]
    assert '"good day, anna"' in tried
    assert "is the default one, in place of" in tried
    assert any("is ready on 1 of 1 hosts" in each for each in told)
    with stack.client() as client:
        assert {"anna", "bob"} <= {each["_id"] for each in client.users.list().items}
        assert client.namespaces.get("etl")["members"] == {"anna": "submitter"}
    [backup] = stack.folder.glob("store-*.backup")
    with tarfile.open(backup) as packed:
        packed.extract("store.db", stack.folder, filter="data")
    copy = sqlite3.connect(stack.folder / "store.db")
    try:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        copy.close()


@pytest.mark.parametrize("page", ["tutorial.md", "howto.md"])
def test_every_command_that_is_named_exists(page: str) -> None:
    """A page names no command that `dts` does not have."""
    text = (DOCS / page).read_text("utf-8")
    named = {match[1] for match in re.finditer(r"(?:^|[`(] ?|\$ )dts ([a-z]+)", text, re.MULTILINE)}
    assert named
    assert named <= set(COMMANDS)
