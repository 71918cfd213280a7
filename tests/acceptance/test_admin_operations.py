"""`dts admin operations` against a real stack: what it prints, and what it exits with."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_commands import Shell
from tests.support.audit import SqliteTamper
from tests.support.processes import up


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with up(tmp_path, "--no-worker") as stack:
        with stack.client(with_worker=False) as client:
            client.users.add("anna", secret="canary canary", role="viewer")
            client.users.update("anna", role="operator")
            client.users.update("anna", role="submitter", disabled=True)
        yield Shell(stack, tmp_path)


def test_the_audit_is_listed_shown_compared_and_verified(shell: Shell) -> None:
    """Every command by a person's words and as JSON; a checkpoint is only its owner's to read."""
    assert "users anna" in shell("admin", "operations", "list", "--type", "update").stdout
    listed = shell.json("admin", "operations", "list", "--document", "anna", "-n", "2")
    items = listed["items"]
    assert isinstance(items, list)
    assert [each["op_type"] for each in items] == ["update", "update"]
    assert listed["next"] == items[-1]["position"]
    shown = shell("admin", "operations", "show", str(items[0]["position"])).stdout
    assert 'role: "operator" -> "submitter"' in shown
    assert "disabled: false -> true" in shown
    history = shell("admin", "operations", "history", "users", "anna").stdout
    assert [line.split("revision ")[1][0] for line in history.splitlines() if "revision" in line] == [
        "3", "2", "1",
    ]  # fmt: skip
    assert "hmac:" in history
    assert "canary" not in history
    differs = shell("admin", "operations", "diff", "users", "anna", "--from", "1", "--to", "3")
    assert 'role: "viewer" -> "submitter"' in differs.stdout.splitlines()
    assert "as they were written" in shell("admin", "operations", "verify").stdout
    file = shell.folder / "checkpoint.json"
    shell("admin", "operations", "checkpoint", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shell("admin", "operations", "verify", "--checkpoint", str(file))
    since = shell("admin", "operations", "list", "--since", "2999-01-01").stdout
    assert len(since.splitlines()) == 1


def test_what_is_not_as_it_was_written_is_one_line_each_and_status_1(shell: Shell) -> None:
    """Edited and cut; a checkpoint that the audit does not agree with is left alone."""
    file = shell.folder / "checkpoint.json"
    shell("admin", "operations", "checkpoint", str(file))
    kept = file.read_bytes()
    heads = json.loads(kept)["heads"]
    newest = max(head["position"] for head in heads)
    tamper = SqliteTamper(shell.stack.data)
    tamper.do("UPDATE operations SET doc_id='bob' WHERE seq=?", newest - 1)
    tamper.remove(newest)
    told = shell("admin", "operations", "verify", "--checkpoint", str(file), status=1).stdout
    lines = told.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == ["cut", "edited"]
    assert lines[-1].endswith("2 findings")
    assert shell.json("admin", "operations", "verify", status=1)["total"] == 2
    refused = shell("admin", "operations", "checkpoint", str(file), status=1).stderr
    assert "does not agree" in refused
    assert file.read_bytes() == kept


def test_wrong_input_is_one_line(shell: Shell) -> None:
    """A file that is none, a number that is not there, a revision that never was, a time that is none."""
    file = shell.folder / "other.json"
    file.write_text("{}")
    for arguments, status, said in (
        (("verify", "--checkpoint", str(file)), 1, "is no checkpoint"),
        (("verify", "--checkpoint", str(shell.folder / "nothing")), 1, "No such file"),
        (("checkpoint", str(file)), 1, "is no checkpoint"),
        (("show", "99999"), 1, "there is no operation"),
        (("diff", "users", "anna", "--from", "1", "--to", "9"), 1, "no revision 9"),
        (("history", "users"), 2, "ID"),
        (("list", "--since", "yesterday"), 2, "yesterday"),
    ):
        told = shell("admin", "operations", *arguments, status=status).stderr
        assert said in told
        assert told.count("\n") == 1
