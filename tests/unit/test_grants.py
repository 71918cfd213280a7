"""What a user of RabbitMQ may do, and where its password lies."""

import json
import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from dts_core.brokers.rabbitmq.permissions import control_permissions, worker_permissions
from dts_core.brokers.rabbitmq.topology import subscription_queue
from dts_core.cli.broker import broker
from dts_core.cli.entry import dts, status_of
from dts_core.errors import ConfigError
from dts_core.hosting.grants import worker_url
from dts_core.hosting.management import Management
from dts_core.settings import QueueNames

URL = "amqps://dts.control:pw@rabbit:5671/a%2Fb"


def may(pattern: str, name: str) -> bool:
    return re.search(pattern, name) is not None


def test_worker_may_do_what_its_host_needs() -> None:
    """Its queues with their bands, its own subscriptions, the way up, and the orders."""
    allowed = worker_permissions("node.7", ["default", "gpu"], QueueNames())
    sub = subscription_queue("node.7", "1a2b")
    own = ["jobs.default", "jobs.gpu:high", "jobs.gpu:urgent", "jobs.host.node.7", sub]
    for name in own:
        assert may(allowed.configure, name), name
        assert may(allowed.read, name), name
    assert may(allowed.write, "dts.up")
    assert may(allowed.write, sub)
    assert may(allowed.read, "dts.control")


@pytest.mark.parametrize(
    "name",
    [
        "results",
        "heartbeats",
        "logs",
        "requests",
        "dead",
        "jobs.dts",
        "jobs.other",
        "jobs.host.nodeX7",
        "jobs.host.node.70",
        "xjobs.default",
        "dts.sub.control.1",
        "dts.sub.node.8.1",
        "dts.sub.node.7.sub.1",
        "amq.topic",
        "amq.default",
        "dts.events",
    ],
)
def test_worker_may_not_touch_anything_else(name: str) -> None:
    """Neither other hosts' queues and subscriptions, nor what the control side reads."""
    allowed = worker_permissions("node.7", ["default"], QueueNames())
    assert not may(allowed.configure, name)
    assert not may(allowed.write, name)
    assert not may(allowed.read, name)


def test_worker_writes_to_no_queue_of_jobs() -> None:
    """A worker takes jobs and submits none past the server."""
    allowed = worker_permissions("a", ["default"], QueueNames())
    assert not any(may(allowed.write, name) for name in ("jobs.default", "amq.default", ""))
    assert not may(allowed.configure, "dts.up")
    assert not may(allowed.read, "dts.up")


def test_control_side_may_do_everything_of_dts() -> None:
    """Under configured names too, and nothing of others in the same virtual host."""
    names = QueueNames(jobs="work", results="ends")
    allowed = control_permissions(names)
    for name in ("work.default:high", "work.host.a", "ends", "dts.up", "dts.sub.control.1", "dead"):
        assert all(may(each, name) for each in (allowed.configure, allowed.write, allowed.read))
    assert may(allowed.write, "amq.default")
    for name in ("jobs.default", "others", "amq.topic", "deadly"):
        assert not any(may(each, name) for each in (allowed.configure, allowed.write, allowed.read))


def test_urls() -> None:
    """The login is quoted as URLs want it."""
    assert worker_url(URL, "u/1", "p@:/") == "amqps://u%2F1:p%40%3A%2F@rabbit:5671/a%2Fb"


def run(*arguments: str) -> str:
    done = CliRunner().invoke(broker, ["grant", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_password_lies_in_private_files_alone(tmp_path: Path) -> None:
    """It is made once, mode 0600, changed on demand, and never printed."""
    common = ["--host", "n1", "--url", URL, "--out", str(tmp_path / "out")]
    said = run(*common)
    folder = tmp_path / "out"
    password = (folder / "dts.host.n1.password").read_text().strip()
    env = (folder / "dts.host.n1.env").read_text()
    assert {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()} == {0o600}
    assert env == f"DTS_BROKER_URL=amqps://dts.host.n1:{password}@rabbit:5671/a%2Fb\n"
    assert "rabbitmqctl set_permissions -p a/b dts.host.n1 '^(jobs" in said
    told = json.loads(run(*common, "--json"))
    assert (folder / "dts.host.n1.password").read_text().strip() == password
    run(*common, "--rotate")
    after = (folder / "dts.host.n1.password").read_text().strip()
    assert after != password
    assert (told["user"], told["vhost"]) == ("dts.host.n1", "a/b")
    assert password not in said + json.dumps(told)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--host", "a", "--control"], 2, "either --host NAME or --control"),
        ([], 2, "either --host NAME or --control"),
        (["--host", "a b"], 2, "is no name of a host"),
        (["--host", "a", "--queue", "dts"], 2, "is not for a worker"),
        (["--host", "a", "--queue", "host.b"], 2, "is not for a worker"),
        (["--host", "a", "--queue", "A*"], 1, "is not a name"),
        (["--host", "a", "--url", "sqlite:///d"], 1, "is no RabbitMQ"),
        (["--host", "a", "--certificate", "--url", "amqp://h/v"], 1, "by amqps:// alone"),
        (["--host", "a", "--management", "ftp://h"], 1, r"expected http\(s\)"),
        (["--host", "a", "--management", "http://u:p@h"], 1, "seen by everybody"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    said: str,
) -> None:
    """Nothing is made, and the line says what was expected."""
    monkeypatch.setenv("DTS_MANAGEMENT_PASSWORD", "x")
    given = ["broker", "grant", "--url", URL, "--out", str(tmp_path / "out"), *arguments]
    assert status_of(lambda: dts.main(given, standalone_mode=False)) == status
    told = capsys.readouterr().err
    assert re.search(said, told)
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_management_that_is_not_there() -> None:
    """A refused connection is told with the address, without the password."""
    api = Management("http://127.0.0.1:1", user="u", password="secret")
    with pytest.raises(Exception, match=r"http://127.0.0.1:1 does not answer: Connection refused"):
        api.get("overview")
    with pytest.raises(ConfigError):
        Management("http://h:99999", user="u", password="p")
