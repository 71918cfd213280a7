"""Where the files of etc/ are found."""

from pathlib import Path

import pytest

from dts_core import resources


def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "dts_core"
    package.mkdir()
    monkeypatch.setattr(resources, "__file__", str(package / "resources.py"))
    return package


def test_installed_files_are_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed dts uses its own copy, whatever folder lies beside it."""
    package = place(tmp_path, monkeypatch)
    (package / "_etc" / "functions").mkdir(parents=True)
    (tmp_path / "etc" / "functions").mkdir(parents=True)
    assert resources.etc_folder() == package / "_etc"


def test_a_checkout_has_them_beside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout an edited sample counts at once, without installing again."""
    place(tmp_path, monkeypatch)
    (tmp_path / "etc" / "functions").mkdir(parents=True)
    assert resources.etc_folder() == tmp_path / "etc"


def test_missing_files_are_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation is named as such."""
    place(tmp_path, monkeypatch)
    with pytest.raises(FileNotFoundError, match="install dts again"):
        resources.etc_folder()
