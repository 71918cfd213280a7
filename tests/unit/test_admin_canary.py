"""`dts admin functions canary ...` and `deploy`: what they ask of the server, and what they print."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from dts_core.cli.admin_functions import functions
from dts_core.cli.client_common import Where
from dts_core.clients import SyncAdminClient
from dts_core.errors import InvalidInput

NOW = datetime(2026, 1, 2, tzinfo=UTC).isoformat()
HOSTILE = "\x1b]52;c;x\x07\u202e"
OLD, NEW = "ab1" + "0" * 61, "cd3" + "0" * 61
JOB: dict[str, Any] = {
    "id": "01J", "function": "dts/deploy", "version": OLD, "state": "done", "submitter": "ann",
    "created_at": NOW,
}  # fmt: skip


class Fake:
    """A server with one function of two versions; what it was asked."""

    def __init__(self) -> None:
        self.function: dict[str, Any] = {
            "_id": "a/b", "namespace": "a", "name": "b", "owner": "ann", "default": OLD,
            "created_at": NOW, "updated_at": NOW, "revision": 7, "canary": NEW,
            "canary_share": 0.25, "canary_hosts": ["lab1"],
            "versions": [
                {"hash": each, "author": "ann", "created_at": NOW, "note": note}
                for each, note in ((OLD, "first"), (NEW, HOSTILE))
            ],
        }  # fmt: skip
        self.result: dict[str, Any] = {}
        self.bodies: list[dict[str, Any]] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method in ("PATCH", "POST"):
            self.bodies.append(json.loads(request.content))
            if path.endswith("/deploy"):
                return httpx.Response(201, json=JOB | {"state": "queued"})
            body = {"operation": "update", "_id": "a/b", "revision": 8, "version": NEW}
            return httpx.Response(200, json=body)
        if path.endswith("/outcomes"):
            counted = {"version": NEW, "done": 3, "failed": 1, "ended": 0, "open": 2}
            told = {"function": "a/b", "looked_at": 500, "is_all": False, "versions": [counted]}
            return httpx.Response(200, json=told)
        if path.startswith("/jobs/"):
            return httpx.Response(200, json=JOB | {"result": self.result})
        return httpx.Response(200, json=self.function)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake()

    def client(where: Where) -> SyncAdminClient:
        return SyncAdminClient("http://s", "t", http_transport=httpx.MockTransport(fake.answer))

    monkeypatch.setattr(Where, "client", client)
    return fake


def run(*arguments: str) -> Result:
    return CliRunner().invoke(functions, list(arguments), standalone_mode=False)


def test_a_version_is_tried_by_its_first_digits(server: Fake) -> None:
    """On hosts and for a share, on the revision that was looked at."""
    told = run("canary", "set", "a/b", "cd3", "--share", "0.5", "--host", "h2", "--host", "h1")
    assert server.bodies == [
        {"revision": 7, "canary": NEW, "canary_share": 0.5, "canary_hosts": ["h2", "h1"]}
    ]
    assert told.output == (
        "a/b: version cd3000000000 is tried, for 50% of the jobs and on h2, h1\n"
    )
    assert isinstance(run("canary", "set", "a/b", "ef").exception, InvalidInput)


def test_a_file_becomes_a_version_that_is_only_tried(server: Fake, tmp_path: Path) -> None:
    """In one write: the default version stays, and nothing is there that nobody tries."""
    file = tmp_path / "load.py"
    file.write_text("def main(): pass\n")
    told = run("canary", "push", "a/b", str(file), "--share", "0.1", "--note", "faster")
    assert server.bodies == [
        {
            "revision": 7, "source": "def main(): pass\n", "note": "faster", "canary": "new",
            "canary_share": 0.1, "canary_hosts": [],
        }
    ]  # fmt: skip
    assert "version cd3000000000 is tried, for 10% of the jobs" in told.output


def test_default_and_canary_are_shown_with_what_became_of_jobs(server: Fake) -> None:
    """Side by side, a count of none too; notes are text of others."""
    told = run("canary", "show", "a/b").output
    assert HOSTILE[0] not in told
    header, default, canary, last = told.splitlines()
    assert header.split()[:3] == ["VERSION", "RUNS", "DONE"]
    assert default.split() == ["ab1000000000", "default", "0", "0", "0", "0", "first"]
    assert canary.split()[:8] == [
        "cd3000000000", "canary", "25%,", "lab1", "3", "1", "0", "2",
    ]  # fmt: skip
    assert last == "of the newest 500 jobs"
    assert json.loads(run("canary", "show", "a/b", "--json").output)["canary"] == NEW


@pytest.mark.parametrize(
    ("verb", "body", "words"),
    [
        ("promote", {"default": NEW}, "is the default one, in place of ab1000000000"),
        ("withdraw", {"canary": ""}, "is withdrawn"),
    ],
)
def test_a_trial_ends(server: Fake, verb: str, body: dict[str, str], words: str) -> None:
    """One way or the other; where there is none the command says so and writes nothing."""
    told = run("canary", verb, "a/b")
    assert server.bodies == [{"revision": 7} | body]
    assert told.output == f"a/b: version cd3000000000 {words}\n"
    server.function["canary"] = ""
    refused = run("canary", verb, "a/b")
    assert "has no canary" in str(refused.exception)
    assert len(server.bodies) == 1


def report(**states: tuple[str, str]) -> dict[str, Any]:
    """A result of dts/deploy: host -> (state, why)."""
    by: Callable[[str], list[str]] = lambda state: [  # noqa: E731
        host for host, told in states.items() if told[0] == state
    ]
    return {
        "function": "a/b", "version": OLD, "ready": by("ready"), "failed": by("failed"),
        "silent": by("silent"),
        "hosts": {
            host: {
                "state": state, "why": why if state == "silent" else "",
                "workers": {}
                if state == "silent"
                else {f"{host}-1": {"state": state, "why": why, "runs": OLD}},
            }
            for host, (state, why) in states.items()
        },
    }  # fmt: skip


def test_a_deploy_is_waited_for_and_its_report_printed(server: Fake) -> None:
    """Exit status 0 when every host has it, 1 otherwise; why is text of others."""
    server.result = report(lab1=("ready", ""), lab2=("ready", ""))
    told = run("deploy", "a/b", "--version", "ab1", "--host", "lab1", "--host", "lab2")
    assert told.return_value == 0
    assert server.bodies == [{"version": OLD, "hosts": ["lab1", "lab2"], "wait_seconds": 60.0}]
    assert told.output.splitlines()[-1] == "version ab1000000000 of a/b is ready on 2 of 2 hosts"
    server.result = report(
        lab1=("ready", ""), lab2=("failed", f"no pump{HOSTILE}"), lab3=("silent", "it is lost")
    )
    told = run("deploy", "a/b")
    assert told.return_value == 1
    assert server.bodies[-1]["hosts"] is None
    assert HOSTILE[0] not in told.output
    rows = [line.split(maxsplit=4) for line in told.output.splitlines()[1:4]]
    assert [row[0] for row in rows] == ["lab1", "lab2", "lab3"]
    assert rows[1][:4] == ["lab2", "lab2-1", "failed", "ab1000000000"]
    assert "no pump" in rows[1][4]
    assert rows[2][1:] == ["silent", "it", "is", "lost"]


def test_a_deploy_need_not_be_waited_for(server: Fake) -> None:
    """The job's id alone, for a script."""
    told = run("deploy", "a/b", "--no-wait")
    assert (told.return_value, told.output) == (0, "01J\n")
