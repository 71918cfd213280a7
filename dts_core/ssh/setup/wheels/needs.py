"""Which packages a worker needs, with theirs: what is installed here, and is therefore known to work together."""

from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dts_core.errors import ConfigError
from dts_core.ssh.setup.facts import Facts

__all__ = ["WORKER_NEEDS", "marks_of", "needs_of"]

WORKER_NEEDS: Final = (
    "aio-pika",
    "click",
    "cryptography",
    "msgspec",
    "packaging",
    "pip",
    "platformdirs",
    "psutil",
    "pynacl",
    "structlog",
    "tomli",
    "uvloop",
)
"""What a worker imports, and pip, which makes environments for functions that declare packages."""


def needs_of(facts: Facts, names: tuple[str, ...] = WORKER_NEEDS) -> dict[str, Distribution]:
    """These and all that they need on that host, by name.

    Raises:
        ConfigError: One of them is not installed here.
    """
    marks = marks_of(facts)
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            raise ConfigError(
                f"the package {name} is not installed here.", advice="Install dts again."
            ) from None
        waiting += list(_required(found[name], marks))
    return dict(sorted(found.items()))


def _required(found: Distribution, marks: dict[str, str]) -> Iterator[str]:
    for text in found.requires or []:
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({**marks, "extra": ""}):
            yield needed.name


def marks_of(facts: Facts) -> dict[str, str]:
    """By what markers of requirements (PEP 508) are judged for a host."""
    return {
        "implementation_name": facts.implementation,
        "os_name": "posix",
        "platform_machine": facts.arch,
        "platform_python_implementation": "CPython",
        "platform_system": facts.system,
        "python_full_version": facts.python_version,
        "python_version": "{}.{}".format(*facts.version),
        "sys_platform": facts.system.lower(),
    }
