"""Which wheels fit a host: the tags of its Python, by what it told of itself."""

import platform
import re
from collections.abc import Iterator
from typing import Final

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms

from dts_core.ssh.setup.facts import Facts

__all__ = ["interpreter", "platforms", "tags_of"]

_LEGACY: Final = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_MACOS: Final = re.compile(r"macosx-([0-9]{1,2})(?:\.([0-9]{1,2}))?(?![0-9])")
_MUSL: Final = range(5, -1, -1)


def tags_of(facts: Facts) -> frozenset[Tag]:
    """Every tag that fits, from that of its very Python to `py3-none-any`."""
    where = list(platforms(facts))
    name = interpreter(facts)
    found = cpython_tags(facts.version, abis=[name], platforms=where)
    return frozenset([*found, *compatible_tags(facts.version, name, where)])


def interpreter(facts: Facts) -> str:
    """cp311 and the like."""
    return "cp{}{}".format(*facts.version)


def platforms(facts: Facts) -> Iterator[str]:
    """Of its system, the most particular first."""
    if facts.system == "Darwin":
        # Every release up to it is tried: what a host tells must not make that endless.
        found = _MACOS.match(facts.platform)
        version = (int(found[1]), int(found[2] or 0)) if found else (11, 0)
        yield from mac_platforms(version, facts.arch)
        return
    arch = facts.arch
    minor = _glibc(facts.libc)
    if not minor:  # musl tells its version nowhere; wheels ask for 1.1 or 1.2
        for each in _MUSL:
            yield f"musllinux_1_{each}_{arch}"
        return
    for each in range(minor, 4, -1):
        yield f"manylinux_2_{each}_{arch}"
        if each in _LEGACY:
            yield f"{_LEGACY[each]}_{arch}"
    # What was built here, for no other machine, fits where all is as here or newer.
    if minor >= _glibc("-".join(platform.libc_ver())) and arch == platform.machine():
        yield f"linux_{arch}"


def _glibc(libc: str) -> int:
    found = re.fullmatch(r"glibc-2\.(\d{1,3}).*", libc)
    return int(found[1]) if found else 0
