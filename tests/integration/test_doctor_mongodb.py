"""What the doctor says of a MongoDB, and the command as a whole."""

import json
import re
from pathlib import Path

import pytest

from dts_core.cli.entry import dts, status_of
from dts_core.clock import SystemClock
from dts_core.doctor.findings import Level
from dts_core.settings import StoreSettings
from dts_core.stores.mongodb import open_store
from dts_core.stores.mongodb.checkup import check_mongodb
from tests.support.mongodb import MongoAddress


async def test_store_before_and_after_its_first_start(mongodb: MongoAddress) -> None:
    """Empty, then with every index; the clock is this machine's own."""
    settings = StoreSettings(url=mongodb.fresh(), allow_standalone=True)
    found = await check_mongodb(settings)
    assert not any(each.level is Level.PROBLEM for each in found)
    assert any("made at the first start" in each.what for each in found)
    store = await open_store(settings, SystemClock())
    await store.close()
    found = await check_mongodb(settings)
    said = [each.what for each in found]
    assert "all indexes are there" in said
    assert any(re.match(r"MongoDB \d", each) for each in said)
    assert any("clock and ours differ by 0." in each for each in said)
    assert any("confirmed by a majority" in each for each in said)


async def test_standalone_is_a_problem_unless_it_was_allowed(mongodb: MongoAddress) -> None:
    """As the store's own start sees it."""
    url = mongodb.fresh()
    strict = await check_mongodb(StoreSettings(url=url))
    allowed = await check_mongodb(StoreSettings(url=url, allow_standalone=True))
    levels = [
        [each.level for each in found if "standalone" in each.what] for found in (strict, allowed)
    ]
    assert levels in ([[Level.PROBLEM], [Level.WARNING]], [[], []])  # a replica set is neither


async def test_nobody_there() -> None:
    """One line with advice, within the deadline."""
    settings = StoreSettings(url="mongodb://127.0.0.1:1/x", deadline_seconds=0.5)
    found = await check_mongodb(settings)
    assert [each.level for each in found] == [Level.PROBLEM]
    assert found[0].advice


def test_command_tells_and_exits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mongodb: MongoAddress
) -> None:
    """Lines for people or JSON; exit 1 when there is a problem; no password is shown."""
    config = tmp_path / "server.toml"
    config.write_text(
        '[broker]\nurl = "amqp://u:s3cret@127.0.0.1:1/v"\n'
        f'[store]\nurl = "{mongodb.fresh()}"\nallow_standalone = true\n'
        f'[server]\ndata = "{tmp_path / "data"}"\n'
    )
    given = ["doctor", "-c", str(config)]
    assert status_of(lambda: dts.main(given, standalone_mode=False)) == 1
    said = capsys.readouterr().out
    assert "ok       host    engine: RabbitMQ + MongoDB" in said
    assert re.search(r"^problem  broker  .*127\.0\.0\.1:1", said, re.MULTILINE)
    assert "s3cret" not in said
    assert status_of(lambda: dts.main([*given, "--json"], standalone_mode=False)) == 1
    told = json.loads(capsys.readouterr().out)
    assert {each["level"] for each in told} >= {"ok", "problem"}


def test_embedded_engine_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing but the folder and this host is looked at; exit 0."""
    config = tmp_path / "server.toml"
    url = f"sqlite://{tmp_path / 'data'}"
    config.write_text(f'[broker]\nurl = "{url}"\n[store]\nurl = "{url}"\n')
    given = ["doctor", "-c", str(config)]
    assert status_of(lambda: dts.main(given, standalone_mode=False)) == 0
    assert "made at the first start" in capsys.readouterr().out
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data").chmod(0o755)
    assert status_of(lambda: dts.main(given, standalone_mode=False)) == 1
    assert "is open to others" in capsys.readouterr().out


def test_worker_without_its_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The socket that is not there is a problem."""
    config = tmp_path / "worker.toml"
    config.write_text(f'[broker]\nurl = "link+unix://{tmp_path}/link.sock"\n')
    given = ["doctor", "worker", "-c", str(config)]
    assert status_of(lambda: dts.main(given, standalone_mode=False)) == 1
    assert "there is no socket" in capsys.readouterr().out
