"""MongoDB behind TLS and behind a login, with the settings of a file; on the stand-in, which is no mongod."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pymongo import MongoClient

from dts_core.cli.entry import dts, status_of
from dts_core.clients import SyncAdminClient
from dts_core.clients.endpoint import local_endpoint
from tests.support.certificates import Authority, joined
from tests.support.mongodb import MongoServer, private_mongodb
from tests.support.processes import Running, eventually
from tests.support.rabbitmq import RabbitNode

pytestmark = [pytest.mark.external("mongodb"), pytest.mark.slow]
PASSWORD = "s3cret-of-mongo"
NOWHERE = "amqp://127.0.0.1:1/"


class Places(NamedTuple):
    """Three servers behind TLS, and what clients need for them."""

    open: MongoServer
    elsewhere: MongoServer
    """Its certificate names another host."""
    asking: MongoServer
    """It asks for a certificate of the client's."""
    trusted: Path
    other: Path
    """An authority that signed for nobody here."""
    own: Path
    """A client's certificate with its key."""
    forged: Path
    """The same, signed by the other authority."""
    query: str
    """For a client of the test's own."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    folder = tmp_path_factory.mktemp("tls")
    ours, other = Authority(folder, "ours"), Authority(folder, "other")
    own, forged = (joined(*each.client("dts")) for each in (ours, other))
    query = f"?tls=true&tlsCAFile={ours.file}"

    def serving(*more: str, host: str = "127.0.0.1", query: str) -> MongoServer:
        cert, key = ours.server(host)
        given = ("--tls-cert-file", str(cert), "--tls-key-file", str(key), *more)
        made = tmp_path_factory.mktemp("mongodb")
        return stack.enter_context(private_mongodb(made, *given, query=query))

    with contextlib.ExitStack() as stack:
        asks = ("--tls-ca-file", str(ours.file), "--tls-require-client-cert")
        yield Places(
            serving(query=query),
            serving(host="mongo.example.org", query=f"{query}&tlsAllowInvalidHostnames=true"),
            serving(*asks, query=f"{query}&tlsCertificateKeyFile={own}"),
            ours.file,
            other.file,
            own,
            forged,
            query,
        )


def file_of(folder: Path, store: str, broker: str = NOWHERE, /, **tls: Path) -> Path:
    """A server.toml with these lines in `[store]` and `[store.tls]`."""
    path = folder / "server.toml"
    lines = [f'[broker]\nurl = "{broker}"\n[store]\nurl = "{store}"\ndeadline_seconds = 2']
    lines += ["allow_standalone = true", "[store.tls]"]
    lines += [f'{name} = "{file}"' for name, file in tls.items()]
    lines += [f'[server]\nport = 0\ndata = "{folder / "data"}"']
    path.write_text("\n".join(lines) + "\n")
    return path


def url_of(server: MongoServer, query: str = "?tls=true", login: str = "") -> str:
    return f"mongodb://{login}127.0.0.1:{server.port}/dts{query}"


def looked(config: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The problems that `dts doctor` has with the store, each with what to do."""
    capsys.readouterr()
    status = status_of(
        lambda: dts.main(["doctor", "-c", str(config), "--json"], standalone_mode=False)
    )
    told = capsys.readouterr()
    if not told.out:
        assert status == 1
        return told.err.splitlines()
    found = [each for each in json.loads(told.out) if each["area"] == "store"]
    assert found
    problems = [each for each in found if each["level"] == "problem"]
    assert bool(problems) or any("MongoDB" in each["what"] for each in found)
    return [f"{each['what']} {each['advice']}" for each in problems]


def started(config: Path) -> str:
    """What `dts server` says, until it says what it waits for."""
    server = Running(["-m", "dts_core.cli", "server", "-c", str(config)], config.parent)
    try:
        eventually(lambda: "the store:" in server.said(), what=server.said())
        return next(line for line in server.said().splitlines() if "the store:" in line)
    finally:
        server.end()


def test_trusted_server_is_used(
    rabbit: RabbitNode, places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The doctor finds nothing wrong; the server keeps its users there, over TLS."""
    broker = rabbit.vhost()
    config = file_of(tmp_path, url_of(places.open), broker, ca_file=places.trusted)
    assert looked(config, capsys) == []
    server = Running(["-m", "dts_core.cli", "server", "-c", str(config)], tmp_path)
    try:

        def ask() -> str:
            assert server.process.poll() is None, server.said()
            found = local_endpoint(tmp_path / "data")
            with SyncAdminClient(found.url, found.token) as client:
                return client.session().user

        user = eventually(ask, what="the server answers")
        raw: MongoClient[dict[str, object]] = MongoClient(url_of(places.open, places.query))
        kept = raw.get_default_database()["documents"].find_one({"_id": f"users/{user}"})
        raw.close()
        assert kept is not None
        assert server.stop() == 0
    finally:
        server.end()
    rabbit.drop(broker)


@pytest.mark.parametrize(
    ("where", "ca", "own", "said"),
    [
        ("open", "other", "", "its certificate is not trusted here"),
        ("elsewhere", "trusted", "", "its certificate is another host's"),
        ("asking", "trusted", "", "asks for a certificate of ours|cuts the connection off"),
        ("asking", "trusted", "forged", "does not take our certificate|cuts the connection off"),
    ],
)
def test_refused_one_is_told_in_a_line(
    places: Places,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    where: str,
    ca: str,
    own: str,
    said: str,
) -> None:
    """By the doctor with what to do, and by the server, which waits."""
    tls = {"ca_file": getattr(places, ca)} | ({"cert_file": getattr(places, own)} if own else {})
    config = file_of(tmp_path, url_of(getattr(places, where)), **tls)
    [line] = looked(config, capsys)
    assert any(part in line for part in said.split("|")), line
    told = started(config)
    assert any(part in told for part in said.split("|")), told


def test_certificate_is_shown_where_it_is_asked_for(
    places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Certificate and key lie in one file; ~ is understood."""
    config = file_of(tmp_path, url_of(places.asking), ca_file=places.trusted, cert_file=places.own)
    assert looked(config, capsys) == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(places.own.parent))
        given = {"ca_file": Path("~") / places.trusted.name, "cert_file": places.own}
        assert looked(file_of(tmp_path, url_of(places.asking), **given), capsys) == []


def test_server_behind_tls_that_is_asked_without(
    places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The advice names the option of the URL."""
    [line] = looked(file_of(tmp_path, url_of(places.open, "")), capsys)
    assert "cuts the connection off" in line
    assert "add tls=true to store.url" in line


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("trusted",), "the files cannot be used"),
        (("own", "trusted"), "wants certificate and key in one file"),
    ],
)
def test_unfit_files_are_told(
    places: Places,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    files: tuple[str, ...],
    said: str,
) -> None:
    """A certificate without its key, or a key in a file of its own."""
    names = ("cert_file", "key_file")
    tls = {name: getattr(places, file) for name, file in zip(names, files, strict=False)}
    [line] = looked(file_of(tmp_path, url_of(places.open), **tls), capsys)
    assert said in line
    assert "store.tls" in line


def test_wrong_password_is_told_without_it(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """The right one is let in; a wrong one and none are one line, for doctor and server."""
    folder = tmp_path_factory.mktemp("login")
    with private_mongodb(folder) as server:
        client: MongoClient[dict[str, object]] = MongoClient(server.url)
        roles = [{"role": "readWrite", "db": "dts"}]
        client.admin.command("createUser", "dts", pwd=PASSWORD, roles=roles)
        client.close()
    good, wrong = f"dts:{PASSWORD}@", f"dts:not-{PASSWORD}@"
    query = "?authSource=admin"
    with private_mongodb(folder, "--auth", login=good, query=query) as server:
        assert looked(file_of(tmp_path, url_of(server, query, good)), capsys) == []
        config = file_of(tmp_path, url_of(server, query, wrong))
        [line] = looked(config, capsys)
        assert "MongoDB refuses the user or the password" in line
        told = started(config)
        assert "MongoDB refuses the user or the password" in told
        [none] = looked(file_of(tmp_path, url_of(server, "")), capsys)
        assert "MongoDB" in none
    assert PASSWORD not in line + told + none
