"""A host in mode agent from nothing to its first job: `dts vhost init` and `dts daemon gateway`, on a real OpenSSH."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dts_core.cli.entry import dts
from tests.support.agent_world import HOST, OnRabbitmq
from tests.support.mongodb import MongoAddress
from tests.support.rabbitmq import RabbitNode
from tests.support.setups import shelf_folder
from tests.support.sshd import ssh_server

pytestmark = [pytest.mark.external("sshd"), pytest.mark.slow]
WHO = "import sys\ndef main():\n    return sys.prefix\n"


@pytest.fixture(name="home")
def home_fixture(tmp_path: Path) -> Path:
    """Of who logs in there: empty."""
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture(name="world")
def world_fixture(
    rabbit: RabbitNode, mongodb: MongoAddress, tmp_path: Path, home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OnRabbitmq]:  # fmt: skip
    """Servers, daemons and the gateway, which launches what was set up there."""
    url = rabbit.vhost()
    with ssh_server(options=[f"SetEnv HOME={home}"]) as sshd:
        made = OnRabbitmq(tmp_path, sshd, url, mongodb.fresh())
        made.engine.env["DTS_SETUP_CACHE"] = str(shelf_folder(tmp_path_factory))
        del made.env["DTS_GATEWAY_WORKER"]
        try:
            made.start()
            yield made
        except BaseException:
            print(made.said)
            raise
        finally:
            made.end()
            rabbit.drop(url)


def init(world: OnRabbitmq, *words: str) -> dict[str, Any]:
    """`dts vhost init` of the host; what its job told."""
    command = ["vhost", "init", HOST, *words, "--json", "--data", str(world.data)]
    done = CliRunner().invoke(dts, command, standalone_mode=False)
    assert done.return_value == 0, done.output + repr(done.exception)
    told: dict[str, Any] = json.loads(done.stdout)["result"]["hosts"][HOST]
    return told


def given(world: OnRabbitmq) -> list[str]:
    key, known = world.folder / "key.pem", world.folder / "known"
    key.write_text(world.sshd.user_key)
    key.chmod(0o600)
    known.write_text("\n".join(world.sshd.pins.keys))
    return [
        "--address", world.sshd.addresses[0], "--port", str(world.sshd.port),
        "--user", world.sshd.user, "--key-file", str(key), "--known-host-file", str(known),
        "--mode", "agent", "--python", "/usr/bin/python3",
    ]  # fmt: skip


def test_from_nothing_to_a_first_job_by_the_gateway(world: OnRabbitmq, home: Path) -> None:
    """Done when its heartbeat was seen; its jobs run on what was set up; what is changed runs anew, nothing else."""
    with world.client() as client:
        client.namespaces.add("test")
        client.functions.add("test/who", WHO)
        made = init(world, *given(world))
        assert made["changed"] == ["folders", "program", "config"]
        [first] = [each.beat for each in client.hosts().items if each.name == HOST]
        job = client.wait_for(client.submit("test/who", host=HOST).id, timeout_seconds=60)
        assert (job.state, job.host) == ("done", HOST), job
        assert Path(str(job.result)).is_relative_to(home)
        again = init(world)
        assert again["changed"] == []
        [same] = [each.beat for each in client.hosts().items if each.name == HOST]
        assert same.worker == first.worker
        changed = init(world, "--queue", "default", "--queue", "other")
        assert changed["changed"] == ["config"]
        [anew] = [each.beat for each in client.hosts().items if each.name == HOST]
        assert anew.worker != first.worker
