"""`dts admin users|namespaces|functions` against a real stack: what they print, ask and refuse."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli

from tests.support.processes import Up, environment, up

SECRET = "correct horse battery"


class Shell:
    """Runs `dts admin` against one stack."""

    def __init__(self, stack: Up, folder: Path) -> None:
        self.stack = stack
        self.folder = folder

    def __call__(
        self, *arguments: str, status: int = 0, typed: str = "", editor: str = ""
    ) -> subprocess.CompletedProcess[str]:
        told = subprocess.run(
            [
                sys.executable,
                "-m",
                "dts_core.cli",
                "admin",
                *arguments,
                "--data",
                str(self.stack.data),
            ],
            capture_output=True,
            text=True,
            input=typed,
            timeout=60,
            env=environment(self.folder) | ({"EDITOR": editor, "VISUAL": editor} if editor else {}),
            check=False,
        )
        assert told.returncode == status, (arguments, told.stdout, told.stderr)
        assert SECRET not in told.stdout + told.stderr
        return told

    def json(self, *arguments: str) -> dict[str, Any]:
        found = json.loads(self(*arguments, "--json").stdout)
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """One stack for all commands."""
    folder = tmp_path_factory.mktemp("admin")
    with up(folder, "--no-worker") as stack:
        stack.client(with_worker=False).close()
        secret = folder / "secret"
        secret.write_text(SECRET + "\n")
        yield Shell(stack, folder)


def test_a_user_is_administered_from_the_shell(shell: Shell) -> None:
    """Add, list, get, set, replace, delete, in words and in JSON; the secret comes from a file."""
    secret = str(shell.folder / "secret")
    dry = shell("users", "add", "ann", "role=viewer", "--secret-file", secret, "--dry-run").stdout
    assert "would be created: user ann; nothing was written" in dry
    shell("users", "get", "ann", status=1)
    made = shell("users", "add", "ann", "role=viewer", "groups=ops", "--secret-file", secret)
    assert made.stdout == "created user ann, revision 1\n"
    assert [each["_id"] for each in shell.json("users", "list", "role=viewer")["items"]] == ["ann"]
    table = shell("users", "list", "--prefix", "an", "--sort", "-role").stdout.splitlines()
    assert table[0].split() == ["ID", "ROLE", "DISABLED", "ADDRESS", "GROUPS", "UPDATED_AT"]
    assert table[1].split()[:2] == ["ann", "viewer"]
    changed = shell.json("users", "set", "ann", "role=operator", "disabled=true", "--revision", "1")
    assert changed == {"operation": "update", "_id": "ann", "revision": 2}
    stale = shell("users", "set", "ann", "role=admin", "--revision", "1", status=1)
    assert "role: operator -> admin" in stale.stderr
    replaced = shell.json("users", "replace", "ann", "role=submitter")
    assert replaced["operation"] == "replace"
    shown = shell.json("users", "get", "ann")
    assert (shown["disabled"], shown["groups"], shown["role"]) == (False, [], "submitter")
    assert shell("users", "delete", "ann").stdout == "deleted user ann\n"
    shell("users", "delete", "ann", status=1)


def test_a_secret_is_asked_for_and_refused_on_the_command_line(shell: Shell) -> None:
    """What a creation needs is prompted for twice, never taken from an argument."""
    refused = shell("users", "add", "eve", "secret=x", status=1).stderr
    assert "secret" in refused
    assert "--secret-file" in refused
    assert "eve" not in shell("users", "list").stdout
    told = shell("users", "add", "eve", typed=f"{SECRET}\n{SECRET}\n")
    assert "created user eve" in told.stdout
    assert "eve" in shell("users", "list").stdout
    shell("users", "delete", "eve", "--yes")


def test_every_mistake_is_in_one_line(shell: Shell) -> None:
    """Unknown and unfit fields are named together, with status 1."""
    secret = str(shell.folder / "secret")
    told = shell(
        "users", "add", "Eve", "role=king", "colour=red", "--secret-file", secret, status=1
    ).stderr
    assert told.count("\n") == 1
    assert all(name in told for name in ("_id", "role", "colour"))
    assert "nonsense" in shell("users", "list", "nonsense=1", status=1).stderr


def test_a_document_goes_out_as_toml_and_comes_back(shell: Shell) -> None:
    """What `get --toml` prints is what `replace --file` takes, with its revision."""
    shell(
        "namespaces", "add", "etl", "description=Nightly loads", "members=anna:submitter,*:viewer"
    )
    text = shell("namespaces", "get", "etl", "--toml").stdout
    found = tomli.loads(text)
    assert found["members"] == {"anna": "submitter", "*": "viewer"}
    file = shell.folder / "etl.toml"
    file.write_text(text.replace("Nightly", "Daily"))
    assert "revision 2" in shell("namespaces", "replace", "etl", "--file", str(file)).stdout
    assert shell.json("namespaces", "get", "etl")["description"] == "Daily loads"
    assert (
        "Daily -> "
        not in shell("namespaces", "replace", "etl", "--file", str(file), status=1).stdout
    )
    listed = tomli.loads(shell("namespaces", "list", "--toml").stdout)["namespaces"]
    assert {"etl", "sample"} <= {each["_id"] for each in listed}


def test_a_document_is_edited_in_the_editor(shell: Shell) -> None:
    """As TOML; an editor that leaves it as it is changes nothing, what cannot be parsed is told."""
    shell("namespaces", "add", "desk", "description=old")

    def edited(change: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        script = shell.folder / "editor"
        script.write_text(f"#!/bin/sh\nsed -i -e '{change}' \"$1\"\n")
        script.chmod(0o700)
        return shell("namespaces", "edit", "desk", status=status, editor=str(script))

    assert edited("s/old/new/").stdout == "changed namespace desk, revision 2\n"
    assert edited("s/none/new/").stdout == "nothing was changed\n"
    assert "cannot be parsed" in edited("s/description.*/description = /", status=1).stderr
    assert "cannot be changed" in edited("s/description/_id/", status=1).stderr


def test_a_dangerous_removal_asks_for_the_name(shell: Shell) -> None:
    """What depends on it is shown first; another name, or nobody to ask, deletes nothing."""
    source = shell.folder / "f.py"
    source.write_text("def main():\n    pass\n")
    shell("namespaces", "add", "team")
    shell("functions", "add", "team/f", f"source=@{source}", "note=first")
    refused = shell("namespaces", "delete", "team", status=1).stderr
    assert "1 functions (team/f)" in refused
    secret = str(shell.folder / "secret")
    shell("users", "add", "bob", "--secret-file", secret)
    shell("namespaces", "set", "team", "members=bob:admin")
    planned = shell("users", "delete", "bob", "--dry-run").stdout
    assert "would be deleted: user bob; nothing was written" in planned
    assert "1 namespaces: team" in planned
    assert "nothing was deleted" in shell("users", "delete", "bob", typed="bop\n", status=1).stderr
    shell("users", "delete", "bob", typed="", status=130)
    asked = shell("users", "delete", "bob", typed="bob\n")
    assert "type the name of the user" in asked.stderr
    assert "deleted user bob" in asked.stdout


def test_functions_are_documents_too(shell: Shell) -> None:
    """Their source comes from a file; the revision is looked up where it is not given."""
    source = shell.folder / "g.py"
    source.write_text("def main():\n    pass\n")
    shell("namespaces", "add", "docs")
    shell("functions", "add", "docs/g", f"source=@{source}")
    source.write_text("def main(a):\n    pass\n")
    assert "revision 2" in shell("functions", "set", "docs/g", f"source=@{source}").stdout
    shown = shell.json("functions", "list", "--prefix", "docs/", "--fields", "_id")
    assert shown["items"] == [{"_id": "docs/g"}]
    shell("functions", "delete", "docs/g")


def test_ids_are_completed_by_the_shell(shell: Shell) -> None:
    """The server is asked for ids that begin so; without a server there is nothing to offer."""
    shell("namespaces", "add", "comp_a")
    shell("namespaces", "add", "comp_b")

    def completed(data: Path) -> list[str]:
        words = f"dts admin namespaces get --data {data} comp"
        asked = {"_DTS_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "6"}
        told = subprocess.run(
            [sys.executable, "-c", "from dts_core.cli.entry import dts; dts(prog_name='dts')"],
            capture_output=True, text=True, timeout=60, check=False,
            env=environment(shell.folder) | asked,
        )  # fmt: skip
        return told.stdout.split()

    assert completed(shell.stack.data) == ["plain,comp_a", "plain,comp_b"]
    assert completed(shell.folder / "nowhere") == []
