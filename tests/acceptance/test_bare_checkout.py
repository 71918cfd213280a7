"""What a bare checkout does before anything is installed, and what a built package holds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "cat", "cksum", "dirname")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The set-up script in a folder of its own, and beside it a PATH without any Python."""
    folder = tmp_path / "checkout"
    (folder / "tools").mkdir(parents=True)
    (folder / "bin").mkdir()
    shutil.copy(ROOT / "tools" / "setup.sh", folder / "tools")
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (folder / "bin" / tool).symlink_to(found)
    return folder


def set_up(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / "tools" / "setup.sh"), "runtime"],
        env={"PATH": str(checkout / "bin"), "HOME": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )


def add_python(checkout: Path, *, refuses: str) -> None:
    """Add a python3 that is this one, but fails on code with a certain word in it."""
    script = checkout / "bin" / "python3"
    script.write_text(
        f'#!{checkout}/bin/bash\ncase "$2" in *{refuses}*) exit 1;; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    script.chmod(0o755)


def test_a_missing_python_is_one_line(checkout: Path) -> None:
    """Without Python, one line names the packages to install and nothing is left behind."""
    done = set_up(checkout)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "dts: Python 3.11 or newer is missing; install it: apt-get install python3 python3-venv"
    ]
    assert not (checkout / ".venv").exists()


def test_an_old_python_is_not_taken(checkout: Path) -> None:
    """A Python older than 3.11 counts as none."""
    add_python(checkout, refuses="version_info")
    assert "Python 3.11 or newer is missing" in set_up(checkout).stderr


def test_a_missing_venv_module_is_one_line(checkout: Path) -> None:
    """With Python but without venv, one line names the one package to install."""
    add_python(checkout, refuses="ensurepip")
    name = "python{}.{}".format(*sys.version_info[:2])
    done = set_up(checkout)
    assert done.returncode == 1
    assert done.stderr == (
        f"dts: {name} cannot make a virtual environment; "
        f"install its package: apt-get install {name}-venv\n"
    )


def test_a_built_package_holds_samples_and_settings(tmp_path: Path) -> None:
    """What `pip install` brings has every file of etc/, style sheet and type marker."""
    steps = ["egg_info", "-e", str(tmp_path), "build_py", "-d", str(tmp_path / "lib")]
    subprocess.run(
        [sys.executable, "setup.py", "-q", *steps],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        check=True,
        capture_output=True,
    )
    wanted = {
        Path("dts_core/_etc") / file.relative_to(ROOT / "etc")
        for file in (ROOT / "etc").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    for package in ("dts_core", "dts_worker", "dts_tui"):
        for suffix in ("*.py", "*.tcss", "*.scm", "py.typed"):
            wanted |= {file.relative_to(ROOT) for file in (ROOT / package).rglob(suffix)}
    missing = [str(name) for name in sorted(wanted) if not (tmp_path / "lib" / name).is_file()]
    assert missing == []


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_pinned_sets_name_no_address(name: str) -> None:
    """Packages come from the user's own index; every one is pinned with its hashes."""
    text = (ROOT / "requirements" / name).read_text("utf-8")
    assert "://" not in text
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pins = [line for line in lines if not line.startswith(" ")]
    assert all("==" in pin and pin.endswith("\\") for pin in pins)
    assert all(line.strip().startswith("--hash=sha256:") for line in lines if line not in pins)
