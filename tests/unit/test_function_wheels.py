"""Packages of functions on far hosts: what is collected here, and what the far side keeps."""

import fcntl
import hashlib
import io
import os
import tarfile
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dts_core.errors import ConfigError
from dts_core.ssh.setup.facts import Facts
from dts_core.ssh.setup.far import packages
from dts_core.ssh.setup.far.base import Failed
from dts_core.ssh.setup.far.facts import collect
from dts_core.ssh.setup.wheels import functions
from dts_core.ssh.setup.wheels.functions import FunctionShelf
from dts_core.ssh.setup.wheels.tags import platforms
from tests.support.wheels import wheel


@pytest.fixture
def facts() -> Facts:
    return msgspec.convert(collect(), Facts)


class Pip:
    """Copies wheels in place of pip, by what it is asked for."""

    def __init__(self, folder: Path, **answers: list[str]) -> None:
        self.folder = folder
        self.answers = answers
        self.asked: list[tuple[list[str], list[str]]] = []

    def __call__(self, facts: Facts, lines: Any, more: Any, folder: Path) -> None:
        self.asked.append((list(lines), list(more)))
        for line in lines:
            for name in self.answers[line.partition(">")[0].partition(";")[0]]:
                path = next(self.folder.glob(f"{name}-*.whl"))
                (folder / path.name).write_bytes(path.read_bytes())


def lying(facts: Facts, **told: str) -> Facts:
    return msgspec.structs.replace(facts, **told)


def test_a_host_that_lies_of_itself_decides_for_no_other(
    tmp_path: Path, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wheels that were chosen for another machine or system are not handed to those that are what they say."""
    source = tmp_path / "source"
    wheel(source, "a", "1", "")
    pip = Pip(source, a=["a"])
    monkeypatch.setattr(functions, "fetch", pip)
    shelf = FunctionShelf(tmp_path / "kept")
    for liar in (facts, lying(facts, arch="vax"), lying(facts, system="Plan9")):
        shelf.release(liar, ["a"])
    assert len(pip.asked) == 3


def test_versions_that_cannot_be_are_none(facts: Facts) -> None:
    """A host may tell anything of itself: it neither fails those beside it nor counts without end."""
    versions = {"3.12.1": (3, 12), "3.13.0rc1": (3, 13), "3.12+": (3, 12), "3.\u00b2": (0, 0)}
    versions |= {"3.99999999": (0, 0), "": (0, 0), "x": (0, 0), "9" * 400: (0, 0)}
    for told, version in versions.items():
        assert lying(facts, python_version=told).version == version
    for told in ("macosx-99999999-arm64", "macosx-10.99999999-x86_64"):
        liar = lying(facts, system="Darwin", arch="arm64", platform=told)
        assert len(list(islice(platforms(liar), 1_001))) < 1_001
    mac = lying(facts, system="Darwin", arch="arm64", platform="macosx-14.2-arm64")
    assert next(platforms(mac)) == "macosx_14_0_arm64"


def test_what_the_host_needs_is_asked_for(
    tmp_path: Path, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Markers are those of its Python, not of ours; decided once, and found again without asking."""
    source = tmp_path / "source"
    wheel(
        source,
        "a",
        "1",
        "",
        'old; python_version < "3.10"',
        'new; python_version >= "3.10"',
        'more; extra == "x"',
    )
    for name in ("old", "new", "more"):
        wheel(source, name, "1", "")
    pip = Pip(source, a=["a", "new"], old=["old"])  # as pip decides for our own Python
    monkeypatch.setattr(functions, "fetch", pip)
    far = msgspec.structs.replace(facts, python_version="3.9.2", soabi="cpython-39")
    roots = ["a>=1", 'never; sys_platform == "win32"']
    shelf = FunctionShelf(tmp_path / "cache")
    found = shelf.release(far, roots)
    assert pip.asked == [(["a>=1"], []), (["a>=1", "old"], [])]
    assert {"a-1-py3-none-any.whl", "old-1-py3-none-any.whl"} <= set(found.wheels)
    again = FunctionShelf(tmp_path / "cache").release(far, roots)
    assert (again.name, len(pip.asked)) == (found.name, 2)
    other = shelf.release(facts, roots)
    assert other.name != found.name


def test_what_cannot_be_had_is_named(
    tmp_path: Path, facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel that does not come, a URL, a marker that says nothing, a file that is no wheel; nothing is left of it."""
    source = tmp_path / "source"
    wheel(source, "a", "1", "", "b")
    monkeypatch.setattr(functions, "fetch", Pip(source, a=["a"], b=[]))
    shelf = FunctionShelf(tmp_path / "cache")
    with pytest.raises(ConfigError, match="lack b"):
        shelf.release(facts, ["a"])
    with pytest.raises(ConfigError, match="URL"):
        shelf.release(facts, ["c @ https://example.org/c.whl"])
    for marker in ('python_version ~= "abc"', '"x" in dependency_groups'):
        with pytest.raises(ConfigError, match="marker of c"):
            shelf.release(facts, [f"c; {marker}"])
    (source / "b-1-py3-none-any.whl").write_text("no zip")
    monkeypatch.setattr(functions, "fetch", Pip(source, a=["a"], b=["b"]))
    with pytest.raises(ConfigError, match="no wheel"):
        shelf.release(facts, ["a"])
    assert list((tmp_path / "cache" / "sets").iterdir()) == []


# --- the far side


def order(
    folder: Path, release: str, *, keep: int = 16, name: str = ""
) -> tuple[dict[str, Any], bytes]:
    """What is sent for a set of one wheel."""
    path = wheel(folder, "thing", "1", f"NAME = {release!r}\n")
    data = path.read_bytes()
    spool = io.BytesIO()
    with tarfile.open(fileobj=spool, mode="w") as archive:
        entry = tarfile.TarInfo(name or path.name)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    body = spool.getvalue()
    sums = {path.name: hashlib.sha256(data).hexdigest()}
    sha256 = hashlib.sha256(body).hexdigest()
    return {"release": release, "sha256": sha256, "wheels": sums, "keep": keep}, body


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "far"))
    return tmp_path / "far" / "dts" / "packages"


def test_the_oldest_go_unless_something_runs_with_them(tmp_path: Path, far: Path) -> None:
    """Bounded; what is held stays, what a process that ended has left half made goes."""
    for number, release in enumerate(("one", "two", "three")):
        given, body = order(tmp_path / "wheels", release)
        home = packages._put(given, iter([body]))
        os.utime(home / packages.LOCK, (number, number))
    (far / "half.999999999.part").mkdir()
    with (far / "one" / packages.LOCK).open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        given, body = order(tmp_path / "wheels", "four", keep=2)
        packages._put(given, iter([body]))
    assert sorted(each.name for each in far.iterdir()) == ["four", "one", "three"]
    assert (far / "four" / "thing.py").read_text() == "NAME = 'four'\n"


@pytest.mark.parametrize("how", ["other", "cut", "name"])
def test_what_is_not_what_was_sent_is_not_kept(tmp_path: Path, far: Path, how: str) -> None:
    """Other bytes, a cut, a wheel of another name: nothing of it stays."""
    given, body = order(tmp_path / "wheels", "one", name="other-1.whl" if how == "name" else "")
    sent = {"other": body[:-1] + b"x", "cut": body[:100], "name": body}[how]
    with pytest.raises(Failed):
        packages._put(given, iter([sent]))
    assert list(far.iterdir()) == []
