"""Which engine two URLs name, and how the others are refused."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dts_core.config import load_settings
from dts_core.errors import ConfigError
from dts_core.places import Layout, check_tls, check_worker_url, layout_of, uses_tls
from dts_core.resources import etc_folder
from dts_core.settings import (
    BrokerSettings,
    DaemonsFile,
    ServerFile,
    StoreSettings,
    TlsSettings,
    WorkerFile,
)

AMQP = "amqp://u:p@h:5672/v"
MONGODB = "mongodb://u:p@a:1,b:2/dts?replicaSet=rs0"


def place(url: str) -> tuple[str, str | None, int | None, str]:
    """A URL without who asks."""
    found = urlsplit(url)
    return found.scheme, found.hostname, found.port, found.path


def layout(broker: str, store: str) -> Layout:
    return layout_of(BrokerSettings(url=broker), StoreSettings(url=store))


@pytest.mark.parametrize(
    ("broker", "store", "expected", "engine"),
    [
        ("sqlite:///d", "sqlite:///d", Layout(Path("/d"), False), "embedded"),
        ("sqlite:///d", "sqlite:////d", Layout(Path("/d"), False), "embedded"),
        (AMQP, "sqlite:///d", Layout(Path("/d"), True), "RabbitMQ + embedded store"),
        (AMQP, MONGODB, Layout(None, True), "RabbitMQ + MongoDB"),
        ("amqps://h", "mongodb+srv://h/dts", Layout(None, True), "RabbitMQ + MongoDB"),
    ],
)
def test_engines(broker: str, store: str, expected: Layout, engine: str) -> None:
    """Three engines, by two URLs alone."""
    found = layout(broker, store)
    assert (found, found.engine) == (expected, engine)


@pytest.mark.parametrize(
    ("broker", "store", "said"),
    [
        ("sqlite:///d", MONGODB, r"^broker\.url: MongoDB goes with RabbitMQ"),
        ("link+unix:///d/link.sock", MONGODB, r"^broker\.url: MongoDB goes with RabbitMQ"),
        ("sqlite:///d", "sqlite:///e", "name different folders"),
        ("link+unix:///d/link.sock", "sqlite:///d", r"^broker\.url: expected sqlite:///PATH"),
        ("sqlite:///d", AMQP, r"^store\.url: amqp:// has no place here"),
        (MONGODB, "sqlite:///d", r"^broker\.url: mongodb:// has no place here"),
        ("amqp:///v", "sqlite:///d", r"^broker\.url: names no host"),
        (AMQP, "mongodb:///dts", r"^store\.url: names no host"),
        ("redis://h", "sqlite:///d", r"^broker\.url: expected sqlite:///PATH"),
        (AMQP, "postgres://h", r"^store\.url: expected sqlite:///PATH"),
    ],
)
def test_what_does_not_go_together(broker: str, store: str, said: str) -> None:
    """Refused in one line that names the key and says what to write."""
    with pytest.raises(ConfigError, match=said) as caught:
        layout(broker, store)
    assert caught.value.advice
    assert "\n" not in str(caught.value)
    assert ":p@" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///d", "a worker opens no data folder"),
        (MONGODB, "mongodb:// has no place here"),
        ("amqp://", "names no host"),
        ("link+unix://d", "expected link"),
    ],
)
def test_worker_is_refused(url: str, said: str) -> None:
    """A worker reaches a link or RabbitMQ, and no store."""
    with pytest.raises(ConfigError, match=said):
        check_worker_url(url, TlsSettings())


@pytest.mark.parametrize("url", [AMQP, "amqps://h", "link+unix:///~/d/link.sock"])
def test_worker_is_let_through(url: str) -> None:
    """Both roads of a worker."""
    check_worker_url(url, TlsSettings())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqps://h", True),
        ("amqp://h", False),
        ("mongodb://h/?tls=true", True),
        ("mongodb://h/?ssl=true&w=1", True),
        ("mongodb://h", False),
        ("mongodb+srv://h", True),
        ("mongodb+srv://h/?tls=false", False),
    ],
)
def test_what_is_encrypted(url: str, expected: bool) -> None:
    """As the drivers read the URLs."""
    assert uses_tls(url) is expected


def test_certificates_that_nothing_uses_are_told(tmp_path: Path) -> None:
    """Who names an authority expects TLS: a URL without it is refused rather than sent in the clear."""
    ca = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"broker\.tls\.ca_file: cannot be read"):
        check_tls("amqps://h", TlsSettings(ca_file=str(ca)), table="broker")
    ca.write_text("x")
    check_tls("amqps://h", TlsSettings(ca_file=str(ca)), table="broker")
    with pytest.raises(ConfigError, match=r"store\.tls\.ca_file: is set, and .* without TLS"):
        check_tls("mongodb://h", TlsSettings(ca_file=str(ca)), table="store")
    with pytest.raises(ConfigError, match=r"broker\.tls\.cert_file: is missing beside"):
        check_tls("amqps://h", TlsSettings(key_file=str(ca)), table="broker")


@pytest.mark.parametrize("dev", [False, True], ids=["plain", "dev"])
def test_distributed_samples(dev: bool) -> None:
    """Server, daemons and worker of etc/distributed meet on one RabbitMQ and one MongoDB."""
    folder = etc_folder() / "distributed"
    server = load_settings(
        ServerFile, part="server", config_file=folder / "server.toml", dev=dev, environ={}
    ).settings
    daemons = load_settings(
        DaemonsFile, part="daemons", config_file=folder / "daemons.toml", dev=dev, environ={}
    ).settings
    worker = load_settings(
        WorkerFile, part="worker", config_file=folder / "worker.toml", dev=dev, environ={}
    ).settings
    assert (server.broker, server.store) == (daemons.broker, daemons.store)
    assert layout_of(server.broker, server.store) == Layout(None, rabbitmq=True)
    assert server.consumer == daemons.consumer
    assert server.server.result_max == daemons.result_max
    check_worker_url(worker.broker.url, worker.broker.tls)
    assert place(worker.broker.url) == place(server.broker.url)
    assert uses_tls(server.broker.url) is uses_tls(server.store.url) is (not dev)
    assert server.store.allow_standalone is dev
