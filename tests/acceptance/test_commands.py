"""The client commands against a real stack: what they print, and what they exit with."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Running, Up, environment, eventually, up


class Shell:
    """Runs `dts` against one stack."""

    def __init__(self, stack: Up, folder: Path) -> None:
        self.stack = stack
        self.folder = folder

    def __call__(
        self, *arguments: str, status: int = 0, at: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run one command; `at` names another server than the stack's folder."""
        where = at.split() if at else ["--data", str(self.stack.data)]
        told = subprocess.run(
            [sys.executable, "-m", "dts_core.cli", *arguments, *where],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment(self.folder),
            check=False,
        )
        assert told.returncode == status, (arguments, told.stdout, told.stderr)
        return told

    def json(self, *arguments: str, status: int = 0) -> dict[str, object]:
        """Run one command with --json."""
        found = json.loads(self(*arguments, "--json", status=status).stdout)
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """One stack for all commands."""
    folder = tmp_path_factory.mktemp("commands")
    with up(folder) as stack:
        stack.client().close()
        yield Shell(stack, folder)


def test_submit_waits_and_exits_by_the_state(shell: Shell) -> None:
    """--wait prints the value and exits 0 when done, 1 when failed with its error."""
    done = shell("submit", "sample/echo", "--arg", '{"a": [1, "x"]}', "--wait").stdout
    assert "done" in done
    assert '"a"' in done
    failed = shell("submit", "sample/fail", "--kw", 'message="no disk"', "--wait", status=1).stdout
    assert "failed" in failed
    assert "no disk" in failed


def test_jobs_job_and_me_tell_the_same(shell: Shell) -> None:
    """A submitted job is in the list, can be shown, and stands in one's own record."""
    job = shell.json("submit", "sample/echo", "--arg", "7", "--wait")
    listed = shell.json("jobs", "--function", "sample/echo", "--state", "done")
    assert isinstance(listed["items"], list)
    assert job["id"] in [each["id"] for each in listed["items"]]
    assert shell.json("job", str(job["id"]))["result"] == 7
    mine = shell.json("me")
    assert isinstance(mine["recent"], list)
    assert job["id"] in [each["id"] for each in mine["recent"]]
    assert str(job["id"]) in shell("jobs").stdout


def test_cancel_and_again(shell: Shell) -> None:
    """A scheduled job is cancelled at once; what is over cannot be; `again` makes a new one of it."""
    job = str(shell.json("submit", "sample/noop", "--delay", "3600")["id"])
    assert "cancelled" in shell("cancel", job).stdout
    shell("cancel", job, status=1)
    again = shell.json("again", job)
    assert (again["again_of"], again["function"]) == (job, "sample/noop")


def test_functions_are_added_pushed_and_shown(shell: Shell) -> None:
    """`push` creates or renews; `show` prints parameters with their help and the source on request."""
    source = shell.folder / "greet.py"
    source.write_text(
        'def main(name: str, times: int = 1):\n    """Greet.\n\n    Args:\n        name: Whom.\n    """\n'
        '    return f"hello {name} " * times\n'
    )
    assert "create" in shell("functions", "push", "sample/greet", str(source)).stdout
    source.write_text(source.read_text().replace("hello", "good day"))
    assert "changed" in shell("functions", "push", "sample/greet", str(source)).stdout
    shown = shell("functions", "show", "sample/greet").stdout
    assert "name" in shown
    assert "Whom." in shown
    assert "good day" in shell("functions", "show", "sample/greet", "--source").stdout
    result = shell.json("submit", "sample/greet", "--arg", '"Ann"', "--wait")["result"]
    assert result == "good day Ann "
    assert "sample/greet" in shell("functions", "list").stdout
    block = "# /// script\n# requires-python = '>=3.11'\n# dependencies = ['Rich']\n# ///\n"
    source.write_text(block + source.read_text())
    shell("functions", "push", "sample/greet", str(source))
    assert "Python >=3.11\npackages: rich\n" in shell("functions", "show", "sample/greet").stdout


def test_versions_are_listed_compared_and_taken_back(shell: Shell) -> None:
    """Each with its author, note and signer; a former one is the default again, and no version is lost."""
    source = shell.folder / "area.py"
    for text, note in (("a * b", "first"), ("a + b", "oops")):
        source.write_text(f"def main(a: int, b: int):\n    return {text}\n")
        shell("functions", "push", "sample/area", str(source), "--note", note)
    listed = shell.json("functions", "versions", "sample/area")
    assert isinstance(listed["versions"], list)
    first, second = (str(each["hash"]) for each in listed["versions"])
    assert listed["default"] == second
    table = shell("functions", "versions", "sample/area").stdout.splitlines()
    assert [line.split()[0] for line in table[1:]] == ["*", first[:12]]
    assert "oops" in table[1]
    key = shell.json("admin", "signing", "show")["key"]
    assert all(each["signed_by"] == key for each in listed["versions"])
    told = shell("functions", "diff", "sample/area", first[:8]).stdout
    assert "-    return a * b\n+    return a + b\n" in told
    assert "no difference" in shell("functions", "diff", "sample/area", first, first).stdout
    dry = shell("functions", "rollback", "sample/area", first[:8], "--dry-run").stdout
    assert f"version {first[:12]} would be the default one, in place of {second[:12]}" in dry
    assert shell.json("functions", "versions", "sample/area")["default"] == second
    assert "is the default one" in shell("functions", "rollback", "sample/area", first[:8]).stdout
    after = shell.json("functions", "versions", "sample/area")
    assert (after["default"], after["versions"]) == (first, listed["versions"])
    job = shell.json("submit", "sample/area", "--arg", "3", "--arg", "4", "--wait")
    assert job["result"] == 12
    shell("functions", "rollback", "sample/area", "nothing", status=1)


def test_status_shows_this_host(shell: Shell) -> None:
    """The dashboard has this host up, with its processor and memory, and the queues."""
    told = shell.json("status")
    assert isinstance(told["hosts"], list)
    host = told["hosts"][0]
    assert host["state"] == "up"
    assert host["beat"]["memory_total"] > 1 << 20
    text = shell("status").stdout
    assert "jobs.default" in text
    assert host["name"] in text


def test_logs_follow_a_growing_job(shell: Shell) -> None:
    """`logs -f` prints the lines of a job as they come."""
    arguments = ["-m", "dts_core.cli", "logs", "-f", "--data", str(shell.stack.data)]
    following = Running([*arguments, "--text", "step 3 of 4"], shell.folder)
    try:
        for _ in range(2):
            shell("submit", "sample/steps", "--arg", "4", "--arg", "0.05", "--wait")
        eventually(lambda: following.said().count("step 3 of 4") >= 1, what="the line is printed")
        assert "step 2 of 4" not in following.said()
    finally:
        following.end()


def test_login_remembers_a_context_that_only_its_owner_can_read(shell: Shell) -> None:
    """`login` with the secret from a file makes a context; `logout` ends its token for good."""
    published = json.loads((shell.stack.data / "endpoint.json").read_text())
    known = json.loads((shell.stack.data / "admin.json").read_text())
    secret = shell.folder / "secret"
    secret.write_text(known["secret"])
    asked = ["--user", "admin", "--context", "here", "--secret-file", str(secret)]
    told = shell("login", *asked, at=f"--url {published['url']}").stdout
    assert "logged in as admin" in told
    files = [Path(root) / name for root, _, names in os.walk(shell.folder) for name in names]
    contexts = next(file for file in files if file.name == "contexts.json")
    assert contexts.stat().st_mode & 0o777 == 0o600
    assert known["secret"] not in contexts.read_text()
    assert "admin" in shell("me", at="--context here").stdout
    shell("logout", at="--context here")
    refused = shell("me", status=1, at="--context here").stderr
    assert refused.startswith("dts: ")
    assert "dts login" in refused


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["submit", "sample/none"], 1, "sample/none"),
        (["submit", "nonsense"], 1, "namespace/name"),
        (["submit", "sample/wordcount"], 1, "path"),
        (["submit", "sample/wordcount", "--arg", "README.md"], 2, "JSON"),
        (["submit", "sample/wordcount", "--kw", "path"], 2, "NAME=JSON"),
        (["submit", "sample/wordcount", "--arg", "1"], 1, "path"),
        (["job", "01NONE"], 1, "01NONE"),
        (["functions", "add", "sample/x", "/nonexistent.py"], 1, "/nonexistent.py"),
        (["jobs", "--state", "sleeping"], 1, "sleeping"),
        (["sbmit"], 2, "submit"),
    ],
)
def test_wrong_use_is_one_line_with_advice(
    shell: Shell, arguments: list[str], status: int, words: str
) -> None:
    """Whatever is wrong, standard error has one line that names it, and the exit status says which kind."""
    told = shell(*arguments, status=status)
    assert told.stdout == ""
    assert len(told.stderr.strip().splitlines()) == 1, told.stderr
    assert told.stderr.startswith("dts: ")
    assert words in told.stderr
