"""`dts login`, `context`, `token`, `password`, `admin tokens` against a real stack, with a user's file of contexts."""

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Up, environment, up

SECRET = "correct horse battery"
NEW = "staple of another kind"


class Shell:
    """Runs `dts` as one person."""

    def __init__(self, stack: Up, folder: Path) -> None:
        self.stack = stack
        self.url = json.loads((stack.data / "endpoint.json").read_text())["url"]
        self.config = folder / "config"
        self.environment = environment(folder) | {"XDG_CONFIG_HOME": str(self.config)}

    def __call__(
        self, *arguments: str, status: int = 0, typed: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        told = subprocess.run(
            [sys.executable, "-m", "dts_core.cli", *arguments],
            capture_output=True,
            text=True,
            input=typed,
            timeout=60,
            env=self.environment | variables,
            check=False,
        )
        assert told.returncode == status, (arguments, told.stdout, told.stderr)
        assert SECRET not in told.stdout + told.stderr
        assert NEW not in told.stdout + told.stderr
        return told

    def json(self, *arguments: str, in_use: str = "") -> Any:
        return json.loads(self(*arguments, "--json", DTS_CONTEXT=in_use).stdout)

    def file(self) -> Path:
        return self.config / "dts" / "contexts.json"


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """One stack with a user ann who may submit."""
    folder = tmp_path_factory.mktemp("tokens")
    with up(folder, "--no-worker") as stack:
        stack.client(with_worker=False).close()
        made = Shell(stack, folder)
        secret = folder / "secret"
        secret.write_text(SECRET + "\n")
        data = ("--data", str(stack.data))
        made("admin", "users", "add", "ann", "role=submitter", "--secret-file", str(secret), *data)
        yield made


def test_contexts_are_kept_as_kubectl_keeps_them(shell: Shell) -> None:
    """Several servers in one file that only its owner reads; list, show, use, rename, remove; DTS_CONTEXT."""
    for name in ("one", "two"):
        login = ("login", "--url", shell.url, "--user", "ann", "--context", name)
        shell(*login, "--secret-file", "-", typed=SECRET + "\n")
    assert stat.S_IMODE(shell.file().stat().st_mode) == 0o600
    assert [each["name"] for each in shell.json("context", "list") if each["used"]] == ["two"]
    shell("context", "use", "one")
    assert shell.json("context", "show")["name"] == "one"
    assert shell.json("context", "show", in_use="two")["name"] == "two"
    shell("context", "rename", "one", "prod")
    table = shell("context", "list").stdout.splitlines()
    assert [line.split()[:3] for line in table[1:]] == [
        ["*", "prod", "ann"],
        ["two", "ann", shell.url],
    ]
    assert (
        "there is a context 'two' already"
        in shell("context", "rename", "prod", "two", status=1).stderr
    )
    assert "known: prod, two" in shell("context", "use", "one", status=1).stderr
    kept = json.loads(shell.file().read_text())["contexts"]
    told = shell("context", "list").stdout + shell("context", "show", "prod").stdout
    assert not any(each["token"] in told for each in kept.values())
    shell("context", "remove", "two")
    assert list(json.loads(shell.file().read_text())["contexts"]) == ["prod"]
    assert shell.json("me", "--context", "prod")["user"] == "ann"


def test_tokens_are_made_used_and_revoked(shell: Shell) -> None:
    """The token stands alone on standard output; what it allows is less than its user may."""
    data = ("--data", str(shell.stack.data))
    mine = ("--url", shell.url)
    login = ("login", "--url", shell.url, "--user", "ann", "--context", "prod")
    shell(*login, "--secret-file", "-", typed=SECRET + "\n")
    made = shell("token", "create", "ci", "--scope", "read", "--days", "1", *mine)
    token = made.stdout.strip()
    assert token.startswith("dts_pat_")
    assert "until" in made.stderr
    assert token not in made.stderr
    told = shell("me", *mine, DTS_TOKEN=token).stdout.splitlines()
    assert told[0] == "ann, viewer"
    refused = shell("submit", "sample/echo", *mine, status=1, DTS_TOKEN=token).stderr
    assert "role submitter is missing" in refused
    table = shell("token", "list", *mine).stdout
    assert "ci" in table
    assert token not in table
    wide = ("token", "create", "x", "--scope", "admin", "--days", "1", *mine)
    assert "at most submit" in shell(*wide, status=1).stderr
    [listed] = shell.json("token", "list", *mine)
    assert listed["last_used_at"] is not None
    assert shell("token", "revoke", listed["id"], *mine).stdout == f"revoked {listed['id']} ci\n"
    shell("me", *mine, status=1, DTS_TOKEN=token)
    shell("token", "revoke", *mine, status=2)
    shell("admin", "tokens", "create", "ann", "etl", "--scope", "submit", "--days", "9", *data)
    assert [each["name"] for each in shell.json("admin", "tokens", "list", *data)] == ["etl"]
    revoked = shell("admin", "tokens", "revoke", "--user", "ann", *data).stdout
    assert revoked == "revoked 1\n"


def test_a_secret_is_changed_by_the_old_one(shell: Shell, tmp_path: Path) -> None:
    """From a file and standard input; the login it is changed with goes on."""
    login = ("login", "--url", shell.url, "--user", "ann", "--context", "prod")
    shell(*login, "--secret-file", "-", typed=SECRET + "\n")
    new = tmp_path / "new"
    new.write_text(NEW)
    change = ("password", "--secret-file", "-", "--new-secret-file", str(new), "--url", shell.url)
    assert "the secret is wrong" in shell(*change, status=1, typed="wrong\n").stderr
    shell(*change, typed=SECRET + "\n")
    assert shell.json("me", "--url", shell.url)["user"] == "ann"
    shell(*login, "--secret-file", "-", typed=SECRET + "\n", status=1)
    shell(*login, "--secret-file", "-", typed=NEW + "\n")
