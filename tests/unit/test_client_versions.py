"""`dts functions versions|diff|rollback`: which version is meant, and text of others on a terminal."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from dts_core.cli.client_common import Where
from dts_core.cli.client_functions import functions
from dts_core.clients import SyncAdminClient
from dts_core.errors import InvalidInput

NOW = datetime(2026, 1, 2, tzinfo=UTC).isoformat()
HOSTILE = "\x1b]52;c;x\x07\u202e"
SOURCES = {
    "ab1" + "0" * 61: "def main():\n    return 1\n",
    "ab2" + "0" * 61: f"def main():\n    return '{HOSTILE}'\n",
    "cd3" + "0" * 61: "def main():\n    return 3\n",
}
HASHES = list(SOURCES)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A server with one function of three versions; what it was told to write."""
    bodies: list[dict[str, Any]] = []
    function = {
        "_id": "a/b", "namespace": "a", "name": "b", "owner": "ann", "default": HASHES[2],
        "created_at": NOW, "updated_at": NOW, "revision": 7,
        "versions": [
            {"hash": each, "author": "ann", "created_at": NOW, "note": note, "signed_by": key}
            for each, note, key in zip(HASHES, ("", HOSTILE, "third"), ("", "k1", "k2"), strict=True)
        ],
    }  # fmt: skip

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            bodies.append(json.loads(request.content))
            body = {"operation": "update", "_id": "a/b", "revision": 8}
            return httpx.Response(200, json=body)
        if request.url.path.endswith("/source"):
            digest = request.url.params["version"]
            return httpx.Response(200, json={"hash": digest, "source": SOURCES[digest]})
        return httpx.Response(200, json=function)

    def client(where: Where) -> SyncAdminClient:
        return SyncAdminClient("http://s", "t", http_transport=httpx.MockTransport(answer))

    monkeypatch.setattr(Where, "client", client)
    return bodies


def run(*arguments: str) -> Result:
    return CliRunner().invoke(functions, list(arguments))


def test_versions_newest_first_with_who_signed_them(written: list[dict[str, Any]]) -> None:
    """A note is text of somebody else; what nobody signed says so."""
    lines = run("versions", "a/b").output.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["*", "cd3000000000"],
        ["ab2000000000", "ann"],
        ["ab1000000000", "ann"],
    ]
    assert [word in line for word, line in zip(("k2", "k1", "nobody"), lines[1:], strict=True)] == [
        True
    ] * 3
    assert r"\x1b]52;c;x\x07\u202e" in lines[2]
    assert [
        each["hash"] for each in json.loads(run("versions", "a/b", "--json").output)["versions"]
    ] == HASHES


def test_a_difference_is_shown_without_obeying_it(written: list[dict[str, Any]]) -> None:
    """Against the default version when no second one is named; as JSON for programs."""
    told = run("diff", "a/b", "ab2").output
    assert "-    return '\\x1b]52;c;x\\x07\\u202e'\n+    return 3\n" in told
    assert "\x1b" not in told
    found = json.loads(run("diff", "a/b", "ab1", "cd", "--json").output)
    assert (found["old"], found["new"]) == (HASHES[0], HASHES[2])
    assert found["diff"][-2:] == ["-    return 1", "+    return 3"]
    assert run("diff", "a/b", "CD3", "cd3").output == "no difference\n"


def test_rolling_back_names_the_revision_that_was_seen(written: list[dict[str, Any]]) -> None:
    """So that nobody's change meanwhile is lost; the version in full."""
    told = run("rollback", "a/b", "ab1").output
    assert told == "a/b: version ab1000000000 is the default one, in place of cd3000000000\n"
    assert written == [{"revision": 7, "default": HASHES[0]}]
    assert "as before" in run("rollback", "a/b", "cd3").output


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("ab", "2 versions of a/b begin with 'ab'"),
        ("ff", "a/b has no version 'ff'"),
        ("", "a/b has no version ''"),
        ("\x1b[2J", r"no version '\\\\x1b\[2J'"),
    ],
)
def test_a_version_must_be_clear(written: list[dict[str, Any]], given: str, words: str) -> None:
    """None or several: nothing is written."""
    for command in (("rollback", "a/b", given), ("diff", "a/b", given)):
        raised = run(*command).exception
        assert isinstance(raised, InvalidInput)
        with pytest.raises(InvalidInput, match=words):
            raise raised
    assert written == []
