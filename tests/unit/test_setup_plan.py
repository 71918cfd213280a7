"""What a set-up tells and decides without a host: facts, tags of wheels, texts."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli

from dts_core.config import load_settings
from dts_core.settings import WorkerFile
from dts_core.ssh.setup.facts import Facts
from dts_core.ssh.setup.far import facts as far_facts
from dts_core.ssh.setup.texts import settings_texts, unit_texts
from dts_core.ssh.setup.wheels.download import pins
from dts_core.ssh.setup.wheels.needs import needs_of
from dts_core.ssh.setup.wheels.tags import tags_of
from dts_core.ssh.setup.wish import Place
from tests.support.setups import PASSWORD, wish_for


def facts(**changes: Any) -> Facts:
    """Of a Debian 12."""
    here = msgspec.convert(far_facts.collect(), Facts)
    plain = {
        "system": "Linux", "arch": "x86_64", "libc": "glibc-2.36", "python_version": "3.11.2",
        "missing": [], "disk_free_bytes": 1 << 40, "systemd": True, "home": "/home/ann",
    }  # fmt: skip
    return msgspec.structs.replace(here, **plain | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"python_version": "3.10.9"}, ["needs 3.11 or newer", "functions can be called"]),
        ({"implementation": "pypy"}, ["needs CPython"]),
        ({"missing": ["venv"]}, ["has no venv", "apt-get install python3"]),
        ({"disk_free_bytes": 5 << 20}, ["5 MiB are free"]),
    ],
)
def test_what_hinders_is_said_with_what_to_do(changes: dict[str, Any], words: list[str]) -> None:
    """A host that cannot be a worker is told apart before anything is done there."""
    said = "; ".join(facts(**changes).hindrances())
    assert all(word in said for word in words)
    assert bool(said) is bool(words)


def test_a_clock_that_is_wrong_is_told() -> None:
    """It hinders nothing."""
    found = facts(skew_seconds=-90.0)
    assert found.hindrances() == []
    assert found.warnings() == ["its clock is 90 s behind ours: set its time"]


@pytest.mark.parametrize(
    ("changes", "fits", "fits_not"),
    [
        ({}, "cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_39_x86_64"),
        ({}, "cp36-abi3-manylinux2014_x86_64", "cp312-cp312-manylinux2014_x86_64"),
        ({"libc": ""}, "cp311-cp311-musllinux_1_2_x86_64", "cp311-cp311-manylinux_2_17_x86_64"),
        ({"arch": "aarch64"}, "cp311-cp311-manylinux_2_28_aarch64", "py3-none-linux_x86_64"),
        ({"python_version": "3.13.1"}, "cp313-cp313-manylinux1_x86_64", "cp311-cp311-any"),
        (
            {"system": "Darwin", "arch": "arm64", "platform": "macosx-14.0-arm64"},
            "cp311-cp311-macosx_11_0_arm64",
            "cp311-cp311-macosx_15_0_arm64",
        ),
    ],
)
def test_only_wheels_that_fit_are_taken(changes: dict[str, Any], fits: str, fits_not: str) -> None:
    """By the host's Python, its C library and its processor."""
    found = {str(tag) for tag in tags_of(facts(**changes))}
    assert fits in found
    assert fits_not not in found
    assert "py3-none-any" in found


def test_what_a_worker_needs_comes_with_what_that_needs() -> None:
    """Closed under requirements; each of them is pinned with its hashes, for a host of another kind."""
    found = needs_of(facts())
    assert {"aio-pika", "aiormq", "msgspec", "pip", "yarl"} <= set(found)
    assert not {"textual", "litestar", "asyncssh"} & set(found)
    known = pins()
    pinned = {name for name, _ in known}
    assert set(found) - pinned <= {"pip"}
    assert all("--hash=sha256:" in text for text in known.values())


def test_the_settings_are_a_workers(tmp_path: Path) -> None:
    """They are read without a complaint, and the login stands in the one file that is its owner's alone."""
    wish = wish_for(tmp_path, broker_ca="PEM", settings={"broker.mq": {"jobs": "work"}})
    texts = settings_texts(wish, Place.of(wish, facts()))
    assert sorted(texts) == ["ca.pem", "signing.pub", "worker.env", "worker.toml"]
    file = tmp_path / "worker.toml"
    file.write_text(texts["worker.toml"].text)
    read = load_settings(WorkerFile, part="worker", config_file=file).settings
    assert (read.worker.host, read.broker.mq.jobs) == ("web-1", "work")
    assert read.broker.tls.ca_file == str(tmp_path / "config/ca.pem")
    assert "url" not in tomli.loads(texts["worker.toml"].text).get("broker", {})
    holders = [name for name, text in texts.items() if PASSWORD in text.text]
    assert (holders, texts["worker.env"].mode) == (["worker.env"], 0o600)
    assert PASSWORD not in repr(texts)


def test_the_systems_unit_is_the_shipped_one(tmp_path: Path) -> None:
    """With this host's paths, and its walls as they are."""
    wish = wish_for(tmp_path, scope="system", keeper="systemd")
    [(name, unit)] = unit_texts(wish, Place.of(wish, facts()), "/root").items()
    assert name == "dts-worker.service"
    lines = unit.text.splitlines()
    assert (
        "ExecStart=/opt/dts-worker/current/bin/dts-worker -c /etc/dts-worker/worker.toml" in lines
    )
    assert "EnvironmentFile=-/etc/dts-worker/worker.env" in lines
    assert {"User=dts-worker", "NoNewPrivileges=yes", "ProtectSystem=strict"} <= set(lines)
