"""The versions of a function: one more, another default one, another note."""

from typing import Final

import msgspec

from dts_core.errors import InvalidInput
from dts_core.model import Function, FunctionVersion
from dts_core.text import clean
from dts_core.views.declared import NOTE_MAX

__all__ = ["VERSIONS_MAX", "with_default", "with_note", "with_version"]

VERSIONS_MAX: Final = 200
"""Versions listed of one function; the oldest leave the list, jobs that name them still run."""


def with_version(function: Function, version: FunctionVersion, *, is_default: bool) -> Function:
    """The function with a version as its newest; one of the same content moves up.

    The oldest leave, but neither the default one nor the canary.
    """
    others = [each for each in function.versions if each.hash != version.hash]
    default = version.hash if is_default else function.default
    surplus = len(others) + 1 - VERSIONS_MAX
    gone = {
        each.hash
        for each in [each for each in others if each.hash not in (default, function.canary)][
            : max(surplus, 0)
        ]
    }
    kept = [*(each for each in others if each.hash not in gone), version]
    return msgspec.structs.replace(function, versions=kept, default=default)


def with_note(function: Function, digest: str, note: str) -> Function:
    """The function with another note of one version."""
    versions = [
        msgspec.structs.replace(each, note=clean(note, NOTE_MAX)) if each.hash == digest else each
        for each in function.versions
    ]
    return msgspec.structs.replace(function, versions=versions)


def with_default(function: Function, digest: str) -> Function:
    """The function with another default version.

    Raises:
        InvalidInput: It has no such version.
    """
    if all(each.hash != digest for each in function.versions):
        raise InvalidInput(
            f"function {function.id} has no version {clean(digest, 64)!r}.",
            fields={"default": "no such version"},
        )
    return msgspec.structs.replace(function, default=digest)
