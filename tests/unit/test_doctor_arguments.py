"""What `dts doctor` says of the keys of secret arguments."""

from pathlib import Path

import pytest

from dts_core.doctor.arguments import check_internal, check_opening, check_sealing
from dts_core.doctor.findings import Finding, Level
from dts_core.errors import BrokerUnavailable
from dts_core.model import SourceReply
from dts_core.places import ARGUMENTS_KEY, Layout
from dts_core.sealed import OpeningKey, Sealer
from dts_core.sealed.files import add_key
from dts_core.settings import LinkSettings, OpeningSettings, SealingSettings, WorkerFile

AMQP = "amqp://guest:guest@127.0.0.1:1/none"


def worker(url: str = AMQP, key_file: Path | str = "") -> WorkerFile:
    return WorkerFile(
        broker=LinkSettings(url=url), arguments=OpeningSettings(key_file=str(key_file))
    )


def levels(found: list[Finding]) -> list[Level]:
    return [each.level for each in found]


def servers_seal_to(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    async def ask(settings: WorkerFile) -> SourceReply:
        return SourceReply("", 0, 0, b"", sealers=list(names))

    monkeypatch.setattr("dts_core.doctor.arguments.keys_of_servers", ask)


def test_a_sealer_names_the_keys_that_it_uses() -> None:
    """The first one for a namespace, and the general one: what was replaced seals no more."""
    keys = [OpeningKey.new().public for _ in range(3)]
    for key in keys[1:]:
        key.namespace = "ops"
    assert Sealer(keys).names == sorted([keys[0].id, f"{keys[1].id} ops"])


def test_the_doctor_looks_at_what_a_server_seals_to(tmp_path: Path) -> None:
    """None and what that means, one that will be made, its own, named ones with their namespace, and damaged ones."""
    own, shared = Layout(tmp_path, rabbitmq=False), Layout(None, rabbitmq=True)
    [found] = check_sealing(SealingSettings(), shared, tmp_path)
    assert (found.level, "are refused" in found.what) == (Level.WARNING, True)
    assert "dts admin arguments new-key" in found.advice
    [found] = check_sealing(SealingSettings(), own, tmp_path)
    assert (found.level, "made at the first start" in found.what) == (Level.OK, True)
    made = add_key(tmp_path / ARGUMENTS_KEY).public
    [found] = check_sealing(SealingSettings(), own, tmp_path)
    assert (found.level, f"sealed to key {made.id};" in found.what) == (Level.OK, True)
    named = SealingSettings(public_keys=[f"{made} ops"])
    [found] = check_sealing(named, shared, tmp_path)
    assert f"{made.id} (namespace ops)" in found.what
    (tmp_path / ARGUMENTS_KEY).chmod(0o640)
    [found] = check_sealing(SealingSettings(), own, tmp_path)
    assert (found.level, "others may read" in found.what) == (Level.PROBLEM, True)
    wrong = SealingSettings(public_keys=["x25519:nothing"])
    [found] = check_sealing(wrong, shared, tmp_path)
    assert (found.level, "is no public key" in found.what) == (Level.PROBLEM, True)


def test_the_doctor_looks_at_what_plugins_open_with(tmp_path: Path) -> None:
    """Nothing where no key is named; a file that is not there is a problem."""
    assert check_internal(OpeningSettings()) == []
    path = tmp_path / "arguments.key"
    [found] = check_internal(OpeningSettings(key_file=str(path)))
    assert (found.level, "is not there" in found.what) == (Level.PROBLEM, True)
    made = add_key(path).public
    [found] = check_internal(OpeningSettings(key_file=str(path)))
    assert (found.level, made.id in found.what) == (Level.OK, True)


async def test_the_doctor_looks_at_what_a_worker_of_a_link_opens(tmp_path: Path) -> None:
    """The server's own file beside the socket; without one to be read it says where it should be."""
    url = f"link+unix://{tmp_path}/link.sock"
    [found] = await check_opening(worker(url))
    assert (found.level, ARGUMENTS_KEY in found.advice) == (Level.WARNING, True)
    made = add_key(tmp_path / ARGUMENTS_KEY).public
    [found] = await check_opening(worker(url))
    assert (found.level, made.id in found.what) == (Level.OK, True)
    missing = await check_opening(worker(url, tmp_path / "none"))
    assert levels(missing) == [Level.PROBLEM]


async def test_the_doctor_compares_with_what_servers_seal_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A missing half of a namespace may be meant so; that of everybody's key, where there are others, is not."""
    path = tmp_path / "arguments.key"
    key, other = add_key(path).public.id, "0" * 16
    for names, level, words in (
        ((key,), Level.OK, "the private half of every key"),
        ((key, f"{key} ops"), Level.OK, "the private half of every key"),
        ((key, other), Level.PROBLEM, f"seal to key {other}, whose"),
        ((key, f"{other} ops"), Level.WARNING, f"{other} (namespace ops)"),
        ((), Level.OK, "no server that runs now seals"),
        (("\x1b[2J",), Level.PROBLEM, r"\x1b"),
    ):
        servers_seal_to(monkeypatch, *names)
        found = await check_opening(worker(key_file=path))
        assert levels(found) == [Level.OK, level]
        assert words in found[1].what
    servers_seal_to(monkeypatch, key)
    [found_none] = await check_opening(worker())
    assert (found_none.level, key in found_none.what) == (Level.WARNING, True)
    assert "key_file" in found_none.advice


async def test_a_broker_that_is_away_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the worker has is told all the same."""
    path = tmp_path / "arguments.key"
    add_key(path)

    async def ask(settings: WorkerFile) -> SourceReply:
        raise BrokerUnavailable("nobody answers.")

    monkeypatch.setattr("dts_core.doctor.arguments.keys_of_servers", ask)
    found = await check_opening(worker(key_file=path))
    assert levels(found) == [Level.OK, Level.WARNING]
    assert "nobody answers" in found[1].what
