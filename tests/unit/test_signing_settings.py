"""Keys as an administrator meets them: the settings of a worker, the key of a server, the doctor, the commands."""

import json
import logging
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from dts_core.cli.admin_signing import signing
from dts_core.cli.client_common import Where
from dts_core.clients import SyncAdminClient
from dts_core.doctor.findings import Finding, Level
from dts_core.doctor.signing import check_signer, check_trust
from dts_core.errors import ConfigError
from dts_core.hosting.trust import named_keys, trust_of
from dts_core.model import SourceReply
from dts_core.places import PUBLIC_KEYS, SIGNING_KEY, Layout
from dts_core.settings import LinkSettings, SigningSettings, TrustSettings, WorkerFile
from dts_core.signing import Signer
from dts_core.signing.files import load_signer, make_key, read_keys, write_keys
from dts_core.signing.keys import new_pem
from dts_core.wiring.signing import named_signer, owners_signer, shared_signer

ONE, TWO = Signer(new_pem()).public, Signer(new_pem()).public
AMQP = "amqp://guest:guest@127.0.0.1:1/"


def worker(url: str, **given: object) -> WorkerFile:
    return WorkerFile(broker=LinkSettings(url=url), signing=TrustSettings(**given))  # type: ignore[arg-type]


def link(folder: Path) -> str:
    return f"link+unix://{folder}/link.sock"


def bad(found: list[Finding]) -> list[str]:
    return [each.what for each in found if each.level is not Level.OK]


# --- a worker


def test_keys_come_from_the_settings_a_file_and_the_server_beside_the_socket(
    tmp_path: Path,
) -> None:
    """All that are named count; the server's own file is taken on a link, unless another is named."""
    write_keys(tmp_path / PUBLIC_KEYS, [ONE])
    other = tmp_path / "other.pub"
    write_keys(other, [TWO])
    both = sorted([ONE.id, TWO.id])
    cases: list[tuple[WorkerFile, list[str]]] = [
        (worker(link(tmp_path)), [ONE.id]),
        (worker(link(tmp_path), public_keys=[str(TWO)]), both),
        (worker(link(tmp_path), public_keys_file=str(other)), [TWO.id]),
        (worker(AMQP, public_keys=[str(ONE)], public_keys_file=str(other)), both),
        (worker(AMQP, public_keys=[str(ONE)], required=False), [ONE.id]),
    ]
    for settings, ids in cases:
        trust = trust_of(settings)
        assert trust is not None
        assert trust.ids == ids


def test_without_a_key_a_worker_does_not_start(tmp_path: Path) -> None:
    """On RabbitMQ that is known at once; on a link the server may bring one until it is there."""
    with pytest.raises(
        ConfigError, match=r"signing\.public_keys: there is no public key"
    ) as raised:
        named_keys(worker(AMQP))
    assert "dts admin signing public" in raised.value.advice
    assert named_keys(worker(link(tmp_path))) == []
    with pytest.raises(ConfigError, match="there is no public key"):
        trust_of(worker(link(tmp_path)))


def test_what_is_not_verified_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Only who says so runs unsigned code, and the log repeats it at each start."""
    for url in (AMQP, link(tmp_path)):
        caplog.clear()
        assert trust_of(worker(url, required=False)) is None
        assert [each.levelno for each in caplog.records] == [logging.WARNING]
        assert "nothing is verified" in caplog.text


def test_a_key_that_is_none_is_a_mistake(tmp_path: Path) -> None:
    """It never counts as having given none."""
    with pytest.raises(ConfigError, match=r"signing\.public_keys: .*no public key"):
        trust_of(worker(link(tmp_path), public_keys=["ed25519:short"], required=False))
    with pytest.raises(ConfigError, match="cannot be read"):
        trust_of(worker(AMQP, public_keys_file=str(tmp_path / "none"), required=False))


# --- a server


def test_the_owner_of_a_folder_makes_its_key_once(tmp_path: Path) -> None:
    """In the folder, private, with the public half beside it; the next start uses the same."""
    made = owners_signer(tmp_path, named_signer(SigningSettings()))
    again = owners_signer(tmp_path, None)
    assert again.public == made.public
    assert (tmp_path / SIGNING_KEY).stat().st_mode & 0o777 == 0o600
    assert read_keys(tmp_path / PUBLIC_KEYS) == [made.public]


def test_a_named_key_is_used_and_never_made(tmp_path: Path) -> None:
    """A wrong path is a mistake, not a new key that no worker knows."""
    path = tmp_path / "my.key"
    settings = SigningSettings(key_file=str(path))
    with pytest.raises(ConfigError, match="no such file"):
        named_signer(settings)
    made = make_key(path)
    used = owners_signer(tmp_path, named_signer(settings))
    assert used.public == made.public
    assert not (tmp_path / SIGNING_KEY).exists()
    assert read_keys(tmp_path / PUBLIC_KEYS) == [made.public]


def test_a_server_refuses_a_key_that_others_may_read(tmp_path: Path) -> None:
    """Its own as well as a named one."""
    owners_signer(tmp_path, None)
    path = tmp_path / SIGNING_KEY
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read it"):
        owners_signer(tmp_path, None)
    with pytest.raises(ConfigError, match="others may read it"):
        named_signer(SigningSettings(key_file=str(path)))


def test_one_of_several_servers_makes_no_key(caplog: pytest.LogCaptureFixture) -> None:
    """It signs nothing then, and says so."""
    assert shared_signer(named_signer(SigningSettings())) is None
    assert "functions are not signed" in caplog.text


# --- the doctor


def test_the_doctor_looks_at_a_servers_key(tmp_path: Path) -> None:
    """Which it is, and how workers name it; what is wrong with it; that there is none."""
    own, shared = Layout(tmp_path, rabbitmq=False), Layout(None, rabbitmq=True)
    plain = SigningSettings()
    assert "made at the first start" in check_signer(plain, own, tmp_path)[0].what
    [found] = check_signer(plain, shared, tmp_path)
    assert (found.level, found.what) == (
        Level.PROBLEM,
        "functions are not signed: [signing] key_file is empty",
    )
    signer = owners_signer(tmp_path, None)
    [found] = check_signer(plain, own, tmp_path)
    assert found.level is Level.OK
    assert str(signer.public) in found.what
    (tmp_path / SIGNING_KEY).chmod(0o604)
    assert "others may read it" in bad(check_signer(plain, own, tmp_path))[0]
    missing = SigningSettings(key_file=str(tmp_path / "none"))
    assert "no such file" in bad(check_signer(missing, shared, tmp_path))[0]


async def test_the_doctor_looks_at_a_workers_keys(tmp_path: Path) -> None:
    """On a link: those beside the socket; none at all is a problem, or a warning for who said so."""
    url = link(tmp_path)
    [found] = await check_trust(worker(url))
    assert (found.level, "does not start" in found.what) == (Level.PROBLEM, True)
    [found] = await check_trust(worker(url, required=False))
    assert (found.level, "nothing is verified" in found.what) == (Level.WARNING, True)
    write_keys(tmp_path / PUBLIC_KEYS, [ONE])
    [found] = await check_trust(worker(url))
    assert (found.level, ONE.id in found.what) == (Level.OK, True)
    (tmp_path / PUBLIC_KEYS).chmod(0o666)
    assert "others may write it" in bad(await check_trust(worker(url)))[0]
    assert "no public key" in bad(await check_trust(worker(AMQP)))[0]


@pytest.mark.parametrize(
    ("signers", "level", "words"),
    [
        ([ONE.id], Level.OK, "the key of every server that runs is trusted"),
        ([ONE.id, TWO.id], Level.PROBLEM, f"signs with key {TWO.id}, which is not trusted"),
        (["\x1b[2J"], Level.PROBLEM, r"\x1b"),
        ([], Level.WARNING, "no server that runs now signs"),
    ],
    ids=["known", "unknown", "hostile", "none"],
)
async def test_the_doctor_compares_with_what_servers_use(
    monkeypatch: pytest.MonkeyPatch, signers: list[str], level: Level, words: str
) -> None:
    """On RabbitMQ the control side is asked."""

    async def ask(settings: WorkerFile) -> SourceReply:
        return SourceReply("", 0, 0, b"", signers=signers)

    monkeypatch.setattr("dts_core.doctor.signing.keys_of_servers", ask)
    found = await check_trust(worker(AMQP, public_keys=[str(ONE)]))
    assert [each.level for each in found] == [Level.OK, level]
    assert words in found[1].what


async def test_a_broker_that_is_away_is_a_warning() -> None:
    """The keys of the settings are told all the same."""
    found = await check_trust(worker(AMQP, public_keys=[str(ONE)]))
    assert [each.level for each in found] == [Level.OK, Level.WARNING]
    assert "cannot be asked" in found[1].what


# --- the commands


def run(*arguments: str) -> Result:
    return CliRunner().invoke(signing, list(arguments))


def test_a_key_is_made_and_its_public_half_printed(tmp_path: Path) -> None:
    """What is printed can be a worker's file as it is; the private half is never printed."""
    paths = [tmp_path / "a.key", tmp_path / "b.key"]
    said = [run("new-key", str(path)) for path in paths]
    assert [each.exit_code for each in said] == [0, 0]
    printed = run("public", *map(str, paths))
    assert printed.output == said[0].output + said[1].output
    public = tmp_path / "workers.pub"
    public.write_text(printed.output)
    assert read_keys(public) == [load_signer(path).public for path in paths]
    for path in paths:
        assert path.read_text().splitlines()[1] not in printed.output


def test_commands_refuse_in_one_line(tmp_path: Path) -> None:
    """A file that is there, and one that others may read."""
    path = tmp_path / "a.key"
    make_key(path)
    again = run("new-key", str(path))
    assert isinstance(again.exception, ConfigError)
    path.chmod(0o644)
    assert isinstance(run("public", str(path)).exception, ConfigError)
    assert run("public").exit_code == 2


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What the server answers, by path."""
    answers: dict[str, object] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers[f"{request.method} {request.url.path}"])

    def client(where: Where) -> SyncAdminClient:
        return SyncAdminClient("http://s", "t", http_transport=httpx.MockTransport(answer))

    monkeypatch.setattr(Where, "client", client)
    return answers


def test_the_servers_key_is_shown(server: dict[str, object]) -> None:
    """As workers take it; or that there is none."""
    server["GET /admin/signing"] = {"key": ONE.id, "public": str(ONE)}
    assert run("show").output == f"{ONE}  # {ONE.id}\n"
    assert json.loads(run("show", "--json").output) == {"key": ONE.id, "public": str(ONE)}
    server["GET /admin/signing"] = {}
    assert "signs nothing" in run("show").output


def test_signing_again_tells_what_was_done_and_what_was_found(server: dict[str, object]) -> None:
    """A version that somebody changed makes it fail, and is shown without what a terminal would obey."""
    report = {"key": ONE.id, "functions": 2, "signed": 3, "refused": []}
    server["POST /admin/signing/resign"] = report
    done = CliRunner().invoke(signing, ["resign"], standalone_mode=False)
    assert (done.return_value, done.output) == (
        0,
        f"signed 3 versions of 2 functions with key {ONE.id}\n",
    )
    server["POST /admin/signing/resign"] = report | {"refused": ["a/b \x1b[2J"]}
    done = CliRunner().invoke(signing, ["resign"], standalone_mode=False)
    assert done.return_value == 1
    assert "find out who changed it: a/b \\x1b[2J" in done.output
