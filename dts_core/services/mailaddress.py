"""What a mail address and a group of users may be: written by people, so each mistake is named."""

import re
from collections.abc import Sequence
from typing import Final

from dts_core.errors import InvalidInput
from dts_core.names import is_name

__all__ = ["ADMINISTRATORS", "check_address", "check_groups", "is_address", "is_group"]

ADMINISTRATORS: Final = "administrators"
"""The group that nobody keeps: every enabled user of role admin with an address."""
ADDRESS_MAX: Final = 254
"""Longest address, in characters (RFC 5321, 4.5.3.1, less the angle brackets)."""
LOCAL_MAX: Final = 64
GROUPS_MAX: Final = 50
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# Neither quoted local parts, nor addresses of machines in brackets, nor characters beyond ASCII: what needs them is
# refused here rather than by a mail server at night.
_ADDRESS: Final = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@{_LABEL}(?:\.{_LABEL})*")


def is_address(text: str) -> bool:
    """Whether it is a plain mail address: one line of ASCII, `name@host`."""
    found = _ADDRESS.fullmatch(text) if len(text) <= ADDRESS_MAX else None
    return found is not None and len(found[1]) <= LOCAL_MAX


def check_address(text: str) -> str:
    """Return `text` when it is a mail address, or empty. What is neither is not repeated: it may be a secret.

    Raises:
        InvalidInput: It is neither.
    """
    if not text or is_address(text):
        return text
    raise InvalidInput(
        "the address is no mail address.",
        fields={"address": "a mail address such as ada@example.org, or empty"},
        advice="Give one address without a name or brackets around it, or leave it empty.",
    )


def is_group(text: str) -> bool:
    """Whether it can be the name of a group of users."""
    return is_name(text)


def check_groups(names: Sequence[str]) -> list[str]:
    """The names of groups, each once, in alphabetical order.

    Raises:
        InvalidInput: There are too many, one is no name, or it is the one that nobody keeps.
    """
    groups = sorted(set(names))
    wrong = [name for name in groups if not is_group(name)]
    if len(groups) > GROUPS_MAX:
        why = f"at most {GROUPS_MAX} groups"
    elif ADMINISTRATORS in groups:
        why = f"{ADMINISTRATORS} are all users of role admin; nobody is put there by hand"
    elif wrong:
        why = "each of lower-case letters, digits and _, parts joined by dots"
    else:
        return groups
    raise InvalidInput(
        f"the groups cannot be written: {why}.",
        fields={"groups": why},
        advice="A group is a name such as operations; it is there as soon as a user is in it.",
    )
