"""The working folder that one job leaves to the next."""

import os
from pathlib import Path

import pytest

from dts_core.runner.sync_child import STAMP_SECONDS, Folder


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _later(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    now = folder.stat().st_ctime + STAMP_SECONDS + 1
    monkeypatch.setattr("dts_core.runner.sync_child.time.time", lambda: now)


@pytest.mark.parametrize("is_old", [False, True])
def test_what_a_job_leaves_is_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    """Files and folders, whether it was found empty long ago or just now, whatever was done to its times."""
    if is_old:
        _later(monkeypatch, folder)
    kept = Folder()
    for name in ("one", "two", "three"):
        assert kept.clean()
        (folder / name).write_text("left")
        (folder / f"{name}s" / "deep").mkdir(parents=True)
        os.utime(folder, ns=(0, 0))
        assert kept.clean()
        assert list(folder.iterdir()) == []


def test_an_untouched_folder_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it was found empty; a job that went elsewhere is brought back."""
    _later(monkeypatch, folder)
    kept = Folder()
    assert kept.clean()
    monkeypatch.setattr("os.listdir", None)
    assert kept.clean()
    monkeypatch.undo()
    os.chdir("/")
    assert kept.clean()
    assert Path.cwd() == folder


def test_a_folder_that_is_gone_is_told(folder: Path) -> None:
    """The child gets no further job then."""
    kept = Folder()
    folder.rmdir()
    assert not kept.clean()
