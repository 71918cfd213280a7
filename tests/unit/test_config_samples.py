"""The files of etc/ and the settings agree: nothing unknown, nothing missing, nothing unused."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dts_core.config import load_config_file, load_settings, variables
from dts_core.places import folder_of, socket_of
from dts_core.resources import etc_folder
from dts_core.settings import DaemonsFile, ServerFile, Settings, TuiFile, WorkerFile

ROOT = Path(__file__).resolve().parents[2]
PARTS: dict[str, type[Settings]] = {
    "server": ServerFile,
    "worker": WorkerFile,
    "daemons": DaemonsFile,
    "tui": TuiFile,
}


MAPPINGS = ("broker.rabbitmq.kinds",)
"""Tables whose keys are the user's own."""


def keys(tables: dict[str, Any], at: str = "") -> Iterator[str]:
    for name, value in tables.items():
        if isinstance(value, dict) and at + name not in MAPPINGS:
            yield from keys(value, f"{at}{name}.")
        else:
            yield at + name


@pytest.mark.parametrize("dev", [False, True], ids=["plain", "dev"])
@pytest.mark.parametrize("part", PARTS)
def test_sample_loads(part: str, dev: bool) -> None:
    """Each file that ships is valid, with and without `-d`."""
    path = etc_folder() / f"{part}.toml"
    loaded = load_settings(PARTS[part], part=part, config_file=path, dev=dev, environ={})
    assert bool(loaded.taken) == dev


@pytest.mark.parametrize("part", PARTS)
def test_sample_shows_every_key_with_its_default(part: str) -> None:
    """Who reads the file knows all that can be set, and what holds when nothing is."""
    path = etc_folder() / f"{part}.toml"
    plain = {key for key in keys(load_config_file(path)) if "-dev" not in key}
    tables = {"keys"}
    assert plain == set(variables(PARTS[part]).values()) - tables
    settings = load_settings(PARTS[part], part=part, config_file=path, environ={}).settings
    assert settings == PARTS[part]()


@pytest.mark.parametrize("part", PARTS)
def test_sample_explains_every_table(part: str) -> None:
    """Each plain table has at least one line of comment below its head or above its keys."""
    text = (etc_folder() / f"{part}.toml").read_text("utf-8")
    silent = [
        block.splitlines()[0]
        for block in text.split("\n[")[1:]
        if "-dev" not in block.splitlines()[0] and "\n#" not in block
    ]
    assert [head for head in silent if head not in ("broker]", "store]")] == []


@pytest.mark.parametrize("dev", [False, True], ids=["plain", "dev"])
def test_samples_meet_in_one_folder(dev: bool) -> None:
    """Server and worker started from the files that ship find each other, and -d is elsewhere."""
    etc = etc_folder()
    server = load_settings(
        ServerFile, part="server", config_file=etc / "server.toml", dev=dev, environ={}
    ).settings
    worker = load_settings(
        WorkerFile, part="worker", config_file=etc / "worker.toml", dev=dev, environ={}
    ).settings
    folder = folder_of(server.broker.url, key="broker.url")
    assert folder == folder_of(server.store.url, key="store.url")
    assert socket_of(worker.broker.url, key="broker.url") == folder / "link.sock"
    assert folder.name == ("server-dev" if dev else "server")


# The alarm rules are read by name: daemons/diagnosis.py, _rule.
BY_NAME = {
    f"{rule}_{part}" for rule in ("cpu", "memory", "disk") for part in ("fire", "clear", "seconds")
}


def structs(kind: type[Settings]) -> Iterator[type[Settings]]:
    yield kind
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Settings):
            yield from structs(field.type)


def attributes_read() -> set[str]:
    """Every name read as an attribute anywhere but in the settings themselves."""
    return {
        node.attr
        for package in ("dts_core", "dts_worker", "dts_tui")
        for file in (ROOT / package).rglob("*.py")
        if file.parent.name != "settings"
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }


def test_every_setting_is_used() -> None:
    """A key that nothing reads would be a promise that is not kept."""
    read = attributes_read() | BY_NAME
    unused = {
        f"{struct.__name__}.{field.name}"
        for part in PARTS.values()
        for struct in structs(part)
        for field in msgspec.structs.fields(struct)
        if field.name not in read
    }
    assert unused == set()
