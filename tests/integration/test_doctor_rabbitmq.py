"""What the doctor and the grants are worth: on a real RabbitMQ, with the very users that they make."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import aiormq
import pytest
from click.testing import CliRunner
from pamqp.commands import Basic

from dts_core.brokers.rabbitmq.checkup import check_rabbitmq
from dts_core.brokers.rabbitmq.permissions import CONTROL_USER, user_of
from dts_core.brokers.rabbitmq.topology import DLX, EXCHANGES, UP
from dts_core.cli.broker import PASSWORD_VARIABLE, broker
from dts_core.doctor.findings import Finding, Level
from dts_core.doctor.management import check_management
from dts_core.errors import ConfigError
from dts_core.hosting.management import Management
from dts_core.settings import BrokerSettings, LinkSettings, RabbitSettings, TlsSettings
from tests.support.certificates import make_certificate
from tests.support.grants import Grants
from tests.support.ports import free_ports
from tests.support.processes import eventually
from tests.support.rabbitmq import RabbitNode, private_node, vhost_of


@pytest.fixture
def url(rabbit: RabbitNode) -> Iterator[str]:
    """The administrator's URL of an empty virtual host."""
    made = rabbit.vhost()
    yield made
    rabbit.drop(made)


async def prepare(url: str) -> None:
    """The exchanges, as a server makes them."""
    connection = aiormq.Connection(url)
    await connection.connect()
    channel = await connection.channel()
    for name, kind in {**EXCHANGES, "dts.control": "fanout", "dts.events": "fanout"}.items():
        await channel.exchange_declare(name, exchange_type=kind, durable=True)
    await connection.close()


def bad(found: list[Finding]) -> list[str]:
    return [each.what for each in found if each.level is Level.PROBLEM]


async def test_granted_users_may_what_they_need_and_nothing_else(
    rabbit: RabbitNode, url: str, tmp_path: Path
) -> None:
    """The doctor finds nothing wrong with the users that the grant makes, and tells what was looked at."""
    control = Grants(rabbit, url, tmp_path).control()
    worker = Grants(rabbit, url, tmp_path).worker("node.7", "default")
    await prepare(control)
    found = await check_rabbitmq(BrokerSettings(url=control))
    assert bad(found) == []
    said = " | ".join(each.what for each in found)
    assert "RabbitMQ 3." in said or "RabbitMQ 4." in said
    assert "consumer_timeout cannot be seen" in said
    found = await check_rabbitmq(LinkSettings(url=worker), host="node.7", queues=["default"])
    assert bad(found) == []
    assert {each.level for each in found} == {Level.OK}
    assert sum("may not" in each.what for each in found) == 4


async def test_before_the_first_start_nothing_is_wrong(
    rabbit: RabbitNode, url: str, tmp_path: Path
) -> None:
    """An empty virtual host has nothing to mend: what cannot be tried yet is a warning, for both sides."""
    control = Grants(rabbit, url, tmp_path).control()
    worker = Grants(rabbit, url, tmp_path).worker("n1", "default")
    looks = [
        await check_rabbitmq(BrokerSettings(url=control)),
        await check_rabbitmq(LinkSettings(url=worker), host="n1", queues=["default"]),
    ]
    for found in looks:
        assert bad(found) == []
        unseen = [each for each in found if "cannot be seen yet" in each.what]
        assert [each.level for each in unseen] == [Level.WARNING] * 2


async def test_too_much_and_too_little_is_told(
    rabbit: RabbitNode, url: str, tmp_path: Path
) -> None:
    """A worker's user that may everything, one that may nothing, one that is another's."""
    vhost = vhost_of(url)
    name = user_of("n1")
    await prepare(url)
    everything = rabbit.add_user(name, vhost, configure=".*", write=".*", read=".*")
    found = bad(await check_rabbitmq(LinkSettings(url=everything), host="n1", queues=["default"]))
    assert f"{name} may publish to queues past the server" in found
    assert f"{name} may make queues of another host" in found
    assert f"{name} may hear what the servers announce" in found
    assert not any("speak in another" in each for each in found)  # the broker itself forbids that
    nothing = rabbit.add_user(name, vhost, configure="^$", write="^$", read="^$")
    found = bad(await check_rabbitmq(LinkSettings(url=nothing), host="n1", queues=["default"]))
    assert any(f"{name} cannot hear orders" in each for each in found)
    assert any(f"{name} cannot publish results" in each for each in found)
    found_all = await check_rabbitmq(LinkSettings(url=url), host="n1", queues=["default"])
    assert any("is taken on trust" in each.what for each in found_all)


async def test_control_side_without_rights_is_told(rabbit: RabbitNode, url: str) -> None:
    """The line says which act is refused, and the advice how to mend it."""
    await prepare(url)
    poor = rabbit.add_user(CONTROL_USER, vhost_of(url), configure="^dts", write=".*", read=".*")
    found = await check_rabbitmq(BrokerSettings(url=poor))
    wrong = [each for each in found if each.level is Level.PROBLEM]
    assert any("cannot make a queue of jobs" in each.what for each in wrong)
    assert all("dts broker grant" in each.advice for each in wrong)


async def test_queue_of_another_kind_is_told(rabbit: RabbitNode, url: str) -> None:
    """A queue that was made with other settings than these."""
    await prepare(url)
    connection = aiormq.Connection(url)
    await connection.connect()
    channel = await connection.channel()
    await channel.queue_declare(
        "jobs.default",
        durable=True,
        arguments={"x-max-priority": 9, "x-dead-letter-exchange": DLX},
    )
    await connection.close()
    found = bad(await check_rabbitmq(BrokerSettings(url=url)))
    assert len(found) == 1
    assert found[0].startswith("queue jobs.default: ")
    assert "inequivalent arg" in found[0]
    classic = RabbitSettings(kinds={"*": "classic"})
    assert bad(await check_rabbitmq(BrokerSettings(url=url, rabbitmq=classic))) == []


@pytest.mark.parametrize(
    ("after", "level"), [(600.0, Level.OK), (1200.0, Level.WARNING), (1800.0, Level.PROBLEM)]
)
async def test_consumer_timeout(url: str, after: float, level: Level) -> None:
    """A delivery that is held too long would be taken back by the broker."""
    await prepare(url)
    settings = BrokerSettings(url=url, rabbitmq=RabbitSettings(ack_after_seconds=after))
    found = await check_rabbitmq(settings)
    assert [each.level for each in found if "consumer_timeout" in each.what] == [level]


async def test_no_connection_is_one_line(rabbit: RabbitNode, url: str) -> None:
    """A wrong password, a virtual host that is not there, nobody listening: each with advice."""
    wrong = rabbit.url(vhost_of(url), rabbit.user, "wrong-password")
    nowhere = rabbit.url("no-such-vhost")
    silent = "amqp://guest:guest@127.0.0.1:1/"
    for each in (wrong, nowhere, silent):
        found = await check_rabbitmq(BrokerSettings(url=each))
        assert [finding.level for finding in found] == [Level.PROBLEM]
        assert found[0].advice
        assert "wrong-password" not in found[0].what


async def test_management_tells_of_policies(rabbit: RabbitNode, url: str) -> None:
    """A policy that drops jobs, or takes deliveries back too early."""
    vhost = vhost_of(url)
    connection = aiormq.Connection(url)
    await connection.connect()
    channel = await connection.channel()
    await channel.queue_declare("jobs.default", durable=True)
    await channel.queue_declare("others", durable=True)
    await connection.close()
    api = Management(rabbit.api, user=rabbit.user, password=rabbit.password)
    assert bad(check_management(api, LinkSettings(), vhost)) == []
    rabbit.http(
        "PUT",
        f"/api/policies/{quote(vhost, safe='')}/p",
        {"pattern": ".*", "definition": {"message-ttl": 60000}, "apply-to": "queues"},
    )
    found = eventually(lambda: bad(check_management(api, LinkSettings(), vhost)), what="the policy")
    assert found == [
        "queue jobs.default: a policy sets message-ttl, which lets jobs expire behind the store's back"
    ]
    refused = Management(rabbit.api, user=rabbit.user, password="wrong")
    found_all = check_management(refused, LinkSettings(), vhost)
    assert [each.level for each in found_all] == [Level.WARNING]


async def test_user_id_of_another_is_refused_by_the_broker(
    rabbit: RabbitNode, url: str, tmp_path: Path
) -> None:
    """What the permissions rest on: a host cannot sign as another one."""
    worker = Grants(rabbit, url, tmp_path).worker("n1")
    await prepare(url)
    connection = aiormq.Connection(worker)
    await connection.connect()
    channel = await connection.channel()
    own = Basic.Properties(user_id=user_of("n1"))
    await channel.basic_publish(b"", exchange=UP, routing_key="nowhere", properties=own)
    other = Basic.Properties(user_id=user_of("n2"))
    with pytest.raises(aiormq.exceptions.AMQPError):
        await channel.basic_publish(b"", exchange=UP, routing_key="nowhere", properties=other)
    await connection.close()


@pytest.mark.external("rabbitmq")
async def test_encrypted_connection(tmp_path: Path) -> None:
    """amqps with the authority that signed it is well; without it, one line that says what to set."""
    certificate, key = make_certificate(tmp_path)
    [port] = free_ports(1)
    extra = (
        f"listeners.ssl.default = 127.0.0.1:{port}\n"
        f"ssl_options.cacertfile = {certificate}\n"
        f"ssl_options.certfile = {certificate}\n"
        f"ssl_options.keyfile = {key}\n"
    )
    with private_node(extra) as node:
        plain = node.vhost()
        await prepare(plain)
        url = f"amqps://{node.user}:{node.password}@127.0.0.1:{port}/{vhost_of(plain)}"
        trusted = BrokerSettings(url=url, tls=TlsSettings(ca_file=str(certificate)))
        found = await check_rabbitmq(trusted)
        assert bad(found) == []
        assert any("is encrypted" in each.what for each in found)
        found = await check_rabbitmq(BrokerSettings(url=url))
        assert [each.level for each in found] == [Level.PROBLEM]
        assert "ca_file" in found[0].advice


def test_a_grant_changes_no_password_by_accident(
    rabbit: RabbitNode, url: str, tmp_path: Path
) -> None:
    """Users are of all virtual hosts: another folder is refused for one that is there, and nothing is written."""
    Grants(rabbit, url, tmp_path).control()
    given = ["grant", "--control", "--url", url, "--out", str(tmp_path / "other")]
    given += ["--management", rabbit.api, "--management-user", rabbit.user]
    done = CliRunner().invoke(broker, given, env={PASSWORD_VARIABLE: rabbit.password})
    assert isinstance(done.exception, ConfigError)
    assert "dts.control is there already" in str(done.exception)
    assert not (tmp_path / "other").exists()
