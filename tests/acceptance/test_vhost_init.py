"""A machine that has sh and Python and nothing else, without a way to the Internet: from nothing to its first job."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dts_core.cli.entry import dts
from dts_core.clients import SyncAdminClient
from tests.support.distributed import Distributed
from tests.support.privateroot import PrivateRoot, private_root
from tests.support.processes import eventually
from tests.support.rabbitmq import RabbitNode
from tests.support.setup_engine import setup_engine
from tests.support.sshkeys import public_line
from tests.support.typed import Typed, shown_by

pytestmark = [pytest.mark.external("rabbitmq", "privateroot"), pytest.mark.slow]
WHO = """
import os, pwd, socket
def main():
    return [pwd.getpwuid(os.getuid()).pw_name, os.environ.get("DTS_BROKER_URL", "")]
"""
ANSWER_SECONDS = 120.0


@pytest.fixture(name="machine")
def machine_fixture() -> Iterator[PrivateRoot]:
    with private_root() as made:
        yield made


@pytest.fixture(name="engine")
def engine_fixture(
    rabbit: RabbitNode, machine: PrivateRoot, tmp_path: Path
) -> Iterator[Distributed]:
    with setup_engine(rabbit, machine, tmp_path) as made:
        yield made


def run(engine: Distributed, *words: str) -> Result:
    return CliRunner().invoke(dts, ["vhost", *words, "--data", str(engine.data)])


def given(machine: PrivateRoot, folder: Path) -> list[str]:
    key, known = folder / "key.pem", folder / "known"
    key.write_text(machine.user_key)
    key.chmod(0o600)
    known.write_text(public_line(machine.host_key) + "\n")
    return ["--address", machine.address, "--user", "root", "--key-file", str(key),
            "--known-host-file", str(known)]  # fmt: skip


def one(result: Result) -> dict[str, Any]:
    job = json.loads(result.stdout)
    assert job["state"] == "done", job
    told: dict[str, Any] = job["result"]["hosts"]["web-1"]
    return told


def works(client: SyncAdminClient, host: str = "web-1") -> None:
    """A job for that host alone is done there, by its worker's own user, who knows no login of the broker."""
    job = client.submit("test/who", host=host)
    job = client.wait_for(job.id, timeout_seconds=ANSWER_SECONDS)
    assert (job.state, job.host, job.result) == ("done", host, ["dts-worker", ""]), job


def test_from_nothing_to_a_first_job_and_back(
    engine: Distributed, machine: PrivateRoot, tmp_path: Path
) -> None:
    """Added, looked at, made, seen to live, at work; a second run changes nothing; removed, nothing is left."""
    before = machine.files()
    assert machine.processes() == []
    with engine.client(workers=0) as client:
        client.namespaces.add("test")
        client.functions.add("test/who", WHO)
        words = ["init", "web-1", "--scope", "system"]
        planned = run(engine, *words, "--dry-run", "--json", *given(machine, tmp_path))
        assert planned.exit_code == 0, planned.output
        steps = [step["name"] for step in one(planned)["steps"] if step["changes"]]
        assert steps == ["account", "folders", "program", "config", "unit", "service"]
        assert machine.files() == before
        made = run(engine, *words, "--timeout", "120")
        assert made.exit_code == 0, made.output + engine.said()
        assert "web-1: done (Debian" in made.output or "web-1: done (" in made.output
        works(client)
        again = one(run(engine, *words, "--json"))
        assert (again["state"], again["changed"]) == ("ok", [])
        works(client)
        gone = run(engine, "remove", "web-1", "--scope", "system", "--yes")
        assert (gone.exit_code, "nothing is left there" in gone.output) == (0, True), gone.output
        assert machine.files() - before <= ACCOUNTS
        assert before - machine.files() == set()
        eventually(lambda: machine.processes() == [], what="nothing of it runs")
        twice = run(engine, "remove", "web-1", "--scope", "system", "--yes")
        assert "nothing was there" in twice.output


ACCOUNTS = {f"etc/{name}-" for name in ("passwd", "shadow", "group", "gshadow")} | {
    "etc/.pwd.lock", "etc/subuid", "etc/subgid", "etc/subuid-", "etc/subgid-",
}  # fmt: skip
"""What useradd and userdel themselves leave: copies of the lists of users from before."""


def test_a_password_that_is_typed_makes_a_worker(rabbit: RabbitNode, tmp_path: Path) -> None:
    """On a host that lets in nothing else, and of which nothing is stored; then cleared; the password is nowhere."""
    password = "Canary-of-root-4411"
    with private_root(password) as machine, setup_engine(rabbit, machine, tmp_path) as engine:
        seen = ""

        def typed(*words: str) -> str:
            nonlocal seen
            command = Typed(engine.data, "vhost", *words, "--scope", "system", "--ask")
            try:
                command.until("Password of root")
                command.type(password)
                eventually(machine.processes, seconds=ANSWER_SECONDS, what="something runs there")
                seen += "\n".join(machine.processes()) + shown_by(command.process.pid)
                assert command.ended() == 0, command.said
            finally:
                command.close()
            return command.said

        with engine.client(workers=0) as client:
            client.namespaces.add("test")
            client.functions.add("test/who", WHO)
            client.vhosts.add(
                "bank-1", address=machine.address, user="root", auth="ask",
                known_host_key=public_line(machine.host_key),
            )  # fmt: skip
            assert "bank-1: done (" in typed("init", "bank-1", "--timeout", "120")
            works(client, "bank-1")
            assert "nothing is left there" in typed("remove", "bank-1", "--yes")
            seen += engine.said() + str(client.operations.list().items)
        for folder in (engine.folder, machine.root):
            for path in (each for each in folder.rglob("*") if _is_own(each, machine.root)):
                seen += path.read_bytes().decode("latin-1")
        assert password not in seen


def _is_own(path: Path, root: Path) -> bool:
    """A file that somebody wrote, not the kernel's nor a program of this machine."""
    foreign = [root / name for name in ("usr", "proc", "sys", "dev")]
    return (
        path.is_file()
        and not path.is_symlink()
        and not any(each in path.parents for each in foreign)
    )
