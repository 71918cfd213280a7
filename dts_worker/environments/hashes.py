"""Only packages of known hashes: what pip chose, as the constraints' own lines with their hashes.

pip takes no hashes from constraints. So it is asked twice: first what it would install within them, then to install
exactly those lines of the constraints, and nothing beside them.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core.text import clean
from dts_worker.environments.wanted import EnvironmentFailed

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HASH: Final = re.compile(r"\s--hash[=\s]\S+")
_PINNED: Final = re.compile(r"\s*==\s*[^\s*;,]+\s*(;.*)?")


class _Metadata(msgspec.Struct):
    name: str


class _Item(msgspec.Struct):
    metadata: _Metadata


class _Report(msgspec.Struct):
    install: list[_Item]


def without_hashes(constraints: str) -> str:
    """The constraints without their hashes, which would make pip ask for one of everything at once."""
    return "\n".join(_HASH.sub("", line) for line in _lines(constraints)) + "\n"


def chosen(report: bytes, constraints: str) -> list[str]:
    """The constraints' lines of the packages in a report of pip.

    Raises:
        EnvironmentFailed: A package is not pinned there, or has no hash; names all such.
    """
    from packaging.utils import canonicalize_name

    pins = {canonicalize_name(name): line for line in _lines(constraints) if (name := _pin(line))}
    found = msgspec.json.decode(report, type=_Report)
    names = sorted({canonicalize_name(each.metadata.name) for each in found.install})
    missing = [name for name in names if name not in pins]
    if missing:
        raise _unknown(missing)
    return [pins[name] for name in names]


def _unknown(names: Sequence[str]) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"the constraints hold no pinned version with a hash of {clean(', '.join(names), 500)}.",
        advice="Add `name==version --hash=sha256:...` to the file that constraints names, or declare fewer packages.",
    )


def _lines(text: str) -> list[str]:
    """Lines without comments, with continued ones joined."""
    joined = re.sub(r"\\\r?\n", " ", text)
    return [
        line for each in joined.splitlines() if (line := re.sub(r"(^|\s)#.*", "", each).strip())
    ]


def _pin(line: str) -> str:
    """The name that a line pins by == and a hash; empty: it does not."""
    name = _NAME.match(line)
    if name is None or _HASH.search(line) is None:
        return ""
    rest = re.sub(r"^\[[^\]]*\]", "", _HASH.sub("", line)[name.end() :])
    return name.group() if _PINNED.fullmatch(rest) else ""
