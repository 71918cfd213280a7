"""Wheels for another platform than ours, fetched by pip: pinned, binary, and by their hashes where those are known."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from dts_core.errors import ConfigError
from dts_core.resources import etc_folder
from dts_core.ssh.setup.facts import Facts
from dts_core.ssh.setup.wheels.tags import interpreter, platforms
from dts_core.text import clean, one_line

__all__ = ["download", "fetch", "pins"]

SECONDS: Final = 300.0
_PIN: Final = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;]+)[^\\\n]*((?:\s*\\?\s*--hash=sha256:[0-9a-f]{64})*)", re.MULTILINE
)


def pins() -> dict[tuple[str, str], str]:
    """(name, version) -> its lines with all hashes, as they were locked; empty where the file is not there."""
    etc = etc_folder()
    for path in (etc / "requirements.txt", etc.parent / "requirements" / "runtime.txt"):
        if path.is_file():
            return {
                (found[1].lower().replace("_", "-"), found[2]): found[0]
                for found in _PIN.finditer(path.read_text("utf-8"))
            }
    return {}


def download(facts: Facts, wanted: Mapping[str, str], folder: Path) -> None:
    """Fetch wheels into a folder; blocks.

    Args:
        facts: For which host.
        wanted: Name -> version.
        folder: Where to.

    Raises:
        ConfigError: pip cannot get one of them.
    """
    known = pins()
    pinned = [known[each] for each in wanted.items() if each in known]
    others = [
        f"{name}=={version}" for name, version in wanted.items() if (name, version) not in known
    ]
    for lines, more in ((pinned, ["--require-hashes"]), (others, [])):
        if lines:
            fetch(facts, lines, ["--no-deps", *more], folder)


def fetch(facts: Facts, lines: Sequence[str], more: Sequence[str], folder: Path) -> None:
    """Have pip put wheels for a host into a folder; nothing is built, nothing of them is run. Blocks.

    Args:
        facts: For which host.
        lines: Requirements.
        more: Options of pip.
        folder: Where to.

    Raises:
        ConfigError: pip cannot get one of them; says what it said last.
    """
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "wheels.txt"
        listed.write_text("\n".join(lines) + "\n")
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                "--no-input", "--only-binary", ":all:", "--dest", str(folder),
                "--implementation", "cp", "--python-version", "{}.{}".format(*facts.version),
                "--requirement", str(listed)]  # fmt: skip
        argv += more
        for abi in (interpreter(facts), "abi3", "none"):
            argv += ["--abi", abi]
        for each in platforms(facts):
            argv += ["--platform", each]
        try:
            ended = subprocess.run(argv, capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise _refused(facts, f"pip took longer than {SECONDS:g} s") from None
    if ended.returncode:
        said = ended.stderr.decode("utf-8", "replace").strip().split("\n")
        raise _refused(facts, one_line(clean(said[-1]), 400))


def _refused(facts: Facts, why: str) -> ConfigError:
    return ConfigError(
        f"wheels for {facts.system} {facts.arch} and Python {facts.python_version} cannot be had: {why}.",
        key="setup.wheels",
        advice="Name a folder that holds them.",
    )
