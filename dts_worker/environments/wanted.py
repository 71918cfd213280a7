"""What an environment has to hold, and the name that follows from it."""

import hashlib
import platform
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from dts_core.errors import DtsError
from dts_core.pep723 import Script
from dts_core.settings import EnvironmentSettings
from dts_core.text import clean, one_line

FORM: Final = 1
"""Of what lies in an environment's folder; another number makes all of them anew."""
CONSTRAINTS_MAX: Final = 16 << 20
"""Most bytes that are read of a constraints file."""


class EnvironmentFailed(DtsError):
    """There is no environment for a function; `transient`: a later try may find the network better."""

    code = "environment_failed"

    def __init__(self, message: str, *, transient: bool = False, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.transient = transient


class Wanted(msgspec.Struct, frozen=True):
    """An environment that is asked for."""

    dependencies: Sequence[str]
    """Normalised, sorted."""
    key: str
    """sha256 in hex over all that decides what is in it."""


def python_version() -> str:
    """Of the interpreter that environments are made with, as `3.11.7`."""
    return platform.python_version()


def check_fits(script: Script) -> None:
    """Nothing, when this host's Python will do.

    Raises:
        EnvironmentFailed: It is of a version that the function does not take.
    """
    if not script.fits(python_version()):
        raise EnvironmentFailed(
            f"the function requires Python {clean(script.requires_python, 80)}; "
            f"this worker runs {python_version()}.",
            advice="Send its jobs to a host with such a Python, by queue.",
        )


def wanted(script: Script, settings: EnvironmentSettings) -> Wanted:
    """The environment of a function. Reads the constraints file: call it in a thread.

    Raises:
        EnvironmentFailed: The host's settings do not let it be made.
    """
    if not settings.enabled:
        raise EnvironmentFailed(
            "the function declares packages, and this worker makes no environments.",
            advice="Set enabled = true in [worker.environments] of worker.toml, or use another queue.",
        )
    if not settings.allow_builds:
        _refuse_urls(script.dependencies)
    return Wanted(script.dependencies, _key(script.dependencies, settings))


def _refuse_urls(dependencies: Sequence[str]) -> None:
    from packaging.requirements import Requirement

    named = [each for each in dependencies if Requirement(each).url]
    if named:
        raise EnvironmentFailed(
            f"{one_line(named[0])} names a URL, which this worker does not take.",
            advice="Name a version, or set allow_builds = true in [worker.environments].",
        )


def _key(dependencies: Sequence[str], settings: EnvironmentSettings) -> str:
    where = {
        name: getattr(settings, name)
        for name in ("index_url", "find_links", "no_index", "require_hashes", "allow_builds")
    }
    parts = {
        "form": FORM,
        "dependencies": list(dependencies),
        "python": [sys.implementation.cache_tag, python_version(), str(base_python())],
        "platform": sysconfig.get_platform(),
        "constraints": hashlib.sha256(read_constraints(settings)).hexdigest(),
        **where,
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()


def base_python() -> Path:
    """The interpreter below a virtual environment that we may run in ourselves."""
    return Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()


def read_constraints(settings: EnvironmentSettings) -> bytes:
    """The constraints file; empty when none is set.

    Raises:
        EnvironmentFailed: It cannot be read.
    """
    if not settings.constraints:
        return b""
    path = Path(settings.constraints).expanduser()
    try:
        with path.open("rb") as stream:
            return stream.read(CONSTRAINTS_MAX)
    except OSError as error:
        raise EnvironmentFailed(
            f"the constraints file {one_line(str(path))} cannot be read: {error.strerror}.",
            advice="See constraints in [worker.environments] of worker.toml.",
        ) from error
