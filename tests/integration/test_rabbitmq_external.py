"""EXTERNAL logins: a client's certificate says which user of RabbitMQ it is, on both planes and for real processes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from dts_core.brokers.base import Message, Outgoing, QueueSpec
from dts_core.brokers.rabbitmq.broker import RabbitmqBroker
from dts_core.brokers.rabbitmq.checkup import check_rabbitmq
from dts_core.brokers.rabbitmq.permissions import CONTROL_USER, user_of
from dts_core.cli.broker import PASSWORD_VARIABLE, broker
from dts_core.doctor.findings import Level
from dts_core.errors import BrokerUnavailable, ConfigError
from dts_core.settings import BrokerSettings, LinkSettings, RabbitSettings, TlsSettings
from dts_core.testing import wait_until
from tests.support.certificates import Authority
from tests.support.distributed import distributed
from tests.support.ports import free_ports
from tests.support.rabbitmq import RabbitNode, private_node, vhost_of

pytestmark = [pytest.mark.external("rabbitmq"), pytest.mark.slow]
PLANES = ("aio-pika", "framing")
HOST = "node7"


class Place(NamedTuple):
    """A node that takes certificates, and who signs them."""

    node: RabbitNode
    port: int
    authority: Authority

    def url(self, vhost: str, user: str) -> str:
        return f"amqps://{user}@127.0.0.1:{self.port}/{quote(vhost, safe='')}?auth=external"

    def tls(self, user: str) -> TlsSettings:
        """What a part sets that shows this user's certificate."""
        cert, key = self.authority.client(user)
        return TlsSettings(ca_file=str(self.authority.file), cert_file=str(cert), key_file=str(key))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    cert, key = authority.server()
    [port] = free_ports(1)
    extra = f"""
listeners.ssl.default = 127.0.0.1:{port}
ssl_options.cacertfile = {authority.file}
ssl_options.certfile = {cert}
ssl_options.keyfile = {key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
auth_mechanisms.1 = EXTERNAL
auth_mechanisms.2 = PLAIN
ssl_cert_login_from = common_name
"""
    with private_node(extra, plugins=["rabbitmq_auth_mechanism_ssl"]) as node:
        yield Place(node, port, authority)


@pytest.fixture
def vhost(place: Place) -> str:
    """Of a test's own, with users that have no passwords, as the command makes them."""
    return vhost_of(place.node.vhost())


def grant(place: Place, folder: Path, vhost: str, *who: str, rotate: bool = False) -> str:
    """The URL that `dts broker grant --certificate` leaves for a user that it has made."""
    url = place.url(vhost, "nobody").partition("?")[0]
    given = ["grant", *who, "--certificate", "--url", url, "--out", str(folder), "--json"]
    given += ["--management", place.node.api, "--management-user", place.node.user]
    given += ["--rotate"] * rotate
    done = CliRunner().invoke(
        broker, given, env={PASSWORD_VARIABLE: place.node.password}, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert told["password"] is None
    return Path(told["env"]).read_text("utf-8").strip().removeprefix("DTS_BROKER_URL=")


def settings_of(plane: Any, **more: Any) -> RabbitSettings:
    return RabbitSettings(plane=plane, **more)


@pytest.mark.parametrize("plane", PLANES)
async def test_messages_pass_signed(place: Place, vhost: str, tmp_path: Path, plane: str) -> None:
    """Published and taken under the certificate's name; no password lies anywhere."""
    url = grant(place, tmp_path, vhost, "--control")
    assert url == place.url(vhost, CONTROL_USER)
    assert [each.name for each in tmp_path.iterdir()] == [f"{CONTROL_USER}.env"]
    settings = settings_of(plane, settle_seconds=0)
    opened = RabbitmqBroker(url, settings=settings, tls=place.tls(CONTROL_USER))
    await opened.start()
    try:
        await opened.declare(QueueSpec("jobs.default"))
        taken: list[Message] = []
        await opened.consume(
            "jobs.default", lambda found: taken.extend(each.message for each in found), prefetch=5
        )
        await opened.publish([Outgoing("jobs.default", Message(b"body"))])
        await wait_until(lambda: bool(taken), what="the message")
        assert (taken[0].body, taken[0].user_id) == (b"body", CONTROL_USER)
    finally:
        await opened.close()


@pytest.mark.parametrize("plane", PLANES)
async def test_unknown_user_is_refused(
    place: Place, vhost: str, tmp_path: Path, plane: str
) -> None:
    """A certificate that is in order and names nobody: one line, and what to do from the doctor."""
    url, tls = place.url(vhost, "stranger"), place.tls("stranger")
    opened = RabbitmqBroker(url, settings=settings_of(plane), tls=tls)
    with pytest.raises(BrokerUnavailable, match=r"refused the login|refuses user"):
        await opened.start()
    await opened.close()
    [found] = await check_rabbitmq(BrokerSettings(url=url, tls=tls))
    assert found.level is Level.PROBLEM
    assert "login" in found.what
    assert "dts broker grant --certificate" in found.advice


async def test_doctor_is_content_with_the_granted_users(
    place: Place, vhost: str, tmp_path: Path
) -> None:
    """Both of them; a certificate of another name than the URL's is a problem."""
    control = grant(place, tmp_path, vhost, "--control")
    worker = grant(place, tmp_path, vhost, "--host", HOST)
    first = RabbitmqBroker(control, tls=place.tls(CONTROL_USER))
    await first.start()  # makes what both need
    await first.close()
    tls = place.tls(CONTROL_USER)
    found = await check_rabbitmq(BrokerSettings(url=control, tls=tls))
    found += await check_rabbitmq(
        LinkSettings(url=worker, tls=place.tls(user_of(HOST))), host=HOST, queues=["default"]
    )
    assert [each.what for each in found if each.level is Level.PROBLEM] == []
    mixed = await check_rabbitmq(
        LinkSettings(url=worker, tls=place.tls(CONTROL_USER)), host=HOST, queues=["default"]
    )
    assert any("publish results" in each.what for each in mixed if each.level is Level.PROBLEM), (
        mixed
    )


def test_password_is_not_lost_by_accident(place: Place, vhost: str, tmp_path: Path) -> None:
    """A user who has one is refused, unless it is to be taken away."""
    place.node.add_user(user_of("old"), vhost)
    with pytest.raises(ConfigError, match="is there already, with a password"):
        grant(place, tmp_path, vhost, "--host", "old")
    assert list(tmp_path.iterdir()) == []
    grant(place, tmp_path, vhost, "--host", "old", rotate=True)
    assert not place.node.http("GET", f"/api/users/{user_of('old')}")["password_hash"]


def test_printed_commands_make_the_user(place: Place, vhost: str, tmp_path: Path) -> None:
    """Without the management API: one that no password lets in; nothing asks for a password's file."""
    url = place.url(vhost, "nobody").partition("?")[0]
    given = ["grant", "--host", "typed", "--certificate", "--url", url, "--out", str(tmp_path)]
    done = CliRunner().invoke(broker, given, catch_exceptions=False)
    lines = [line.strip() for line in done.output.splitlines() if "rabbitmqctl" in line]
    assert not any(str(tmp_path) in line for line in lines)
    place.node.ctl("add_user", user_of("typed"), "for a moment")
    for line in lines[2:]:
        place.node.ctl(*[word.strip("'") for word in line.split()[1:]])
    assert not place.node.http("GET", f"/api/users/{user_of('typed')}")["password_hash"]
    [allowed] = place.node.http("GET", f"/api/users/{user_of('typed')}/permissions")
    assert re.search(allowed["read"], "jobs.host.typed")


@pytest.mark.parametrize("plane", PLANES)
def test_server_and_worker_run_a_job(place: Place, vhost: str, tmp_path: Path, plane: str) -> None:
    """Both let in by their certificates alone, from files and environment as an administrator has them."""

    def env(user: str) -> dict[str, str]:
        tls = place.tls(user)
        return {
            "DTS_BROKER_TLS_CA_FILE": tls.ca_file,
            "DTS_BROKER_TLS_CERT_FILE": tls.cert_file,
            "DTS_BROKER_TLS_KEY_FILE": tls.key_file,
            "DTS_BROKER_RABBITMQ_PLANE": plane,
        }

    with distributed(tmp_path, grant(place, tmp_path, vhost, "--control"), "") as engine:
        engine.server(**env(CONTROL_USER))
        worker = grant(place, tmp_path, vhost, "--host", HOST)
        engine.worker(HOST, DTS_BROKER_URL=worker, **env(user_of(HOST)))
        with engine.client(workers=1) as client:
            client.namespaces.add("test")
            client.functions.add("test/echo", "def main(value):\n    return value\n")
            assert client.submit("test/echo", args=[7], wait=60).result == 7
        assert set(engine.stop()) == {0}, engine.said()


@pytest.mark.parametrize(
    "url", ["amqps://h:5671/v?auth=external", "amqp://dts.control@h:5672/v?auth=external"]
)
def test_url_says_what_the_login_needs(url: str) -> None:
    """TLS, and the name that signs messages."""
    with pytest.raises(ConfigError, match="takes TLS, and the user"):
        RabbitmqBroker(url)
