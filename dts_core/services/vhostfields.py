"""Fields of a virtual host that are no secrets: what each may hold. No message repeats what was given.

What is meant for a secret field is easily pasted into its neighbour, so that nothing of a wrong value comes back.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from dts_core.errors import InvalidInput
from dts_core.names import is_host, is_name
from dts_core.services.mistakes import Mistakes
from dts_core.text import clean_lines, is_safe
from dts_core.vault import is_file_name

__all__ = ["check_id", "checked"]

REFERRED: Final = ("key_passphrase", "password")
"""Secret fields that may name a file instead."""
LABELS_MAX: Final = 64
DESCRIPTION_MAX: Final = 2000
PYTHON_MAX: Final = 400
SHELL_USERS_MAX: Final = 200
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?")
_VALUE: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_PART: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]{0,63}\$?")
_PYTHON: Final = re.compile(r"(/|[A-Za-z0-9_])[A-Za-z0-9._/+@ -]*")
_PRIVATE: Final = "PRIVATE KEY"


def check_id(text: str) -> str:
    """The id of a virtual host, which may be a host name.

    Raises:
        InvalidInput: It is none.
    """
    if len(text) > 120 or not is_host(text):
        raise InvalidInput(
            "the _id is no name of a virtual host.",
            fields={"_id": "letters, digits, dot, dash and _; 1 to 120 characters"},
            advice="Use the host's name, for example web-1 or node7.example.org.",
        )
    return text


def checked(fields: Mapping[str, Any], mistakes: Mistakes) -> dict[str, Any]:
    """The fields as they are stored, those without a rule as they are; `mistakes` takes what is wrong."""
    stored = {}
    for name, value in fields.items():
        rule = _RULES.get(name)
        try:
            stored[name] = value if rule is None else rule(value)
        except _Wrong as error:
            mistakes.add(name, str(error))
    return stored


class _Wrong(Exception):
    """Why a value does not fit."""


def _address(text: str) -> str:
    text = text.strip()
    if "@" in text:
        raise _Wrong("a host name or an IP address alone; the user has a field of its own")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return _host_name(text)
    if found.is_unspecified or found.is_multicast:
        raise _Wrong("an address of one host")
    return str(found)


def _host_name(text: str) -> str:
    parts = text.removesuffix(".").split(".")
    is_name = len(text) <= 253 and all(_PART.fullmatch(part) for part in parts)
    if not is_name or parts[-1].isdecimal():
        raise _Wrong("a host name or an IP address; the port has a field of its own")
    return text.removesuffix(".").lower()


def _user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise _Wrong("a login name: letters, digits, and any of . _ - @ \\, at most 64 characters")
    return text


def _labels(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > LABELS_MAX:
        raise _Wrong(f"at most {LABELS_MAX} labels")
    for name, value in labels.items():
        if not _LABEL.fullmatch(name) or not _VALUE.fullmatch(value):
            raise _Wrong(
                "names of lower-case letters, digits and . _ / -; values of letters, digits and . _ -; "
                "at most 63 characters each"
            )
    return dict(sorted(labels.items()))


def _shell_users(users: list[str]) -> list[str]:
    if len(users) > SHELL_USERS_MAX or not all(map(is_name, users)):
        raise _Wrong(f"names of users, at most {SHELL_USERS_MAX}")
    return sorted(set(users))


def _references(references: dict[str, str]) -> dict[str, str]:
    for field, name in references.items():
        if field not in REFERRED or not is_file_name(name):
            raise _Wrong(f"{' and '.join(REFERRED)}, each with the name of a file, no path")
    return dict(references)


def _python(text: str) -> str:
    if len(text) > PYTHON_MAX or not _PYTHON.fullmatch(text) or ".." in text.split("/"):
        raise _Wrong("a name like python3, or an absolute path without ..")
    if "/" in text and not text.startswith("/"):
        raise _Wrong("a path begins with /")
    return text


def _description(text: str) -> str:
    if _PRIVATE in text:
        raise _Wrong("this looks like a private key, which would be shown here")
    return clean_lines(text, DESCRIPTION_MAX)


def _jump(text: str) -> str:
    if text and (len(text) > 120 or not is_host(text)):
        raise _Wrong("the _id of another virtual host, or nothing")
    return text


def _password(text: str | None) -> str | None:
    if text is not None and (not is_safe(text) or len(text) > 1024):
        raise _Wrong("at most 1,024 printable characters")
    return text


def _public(text: str) -> str:
    if _PRIVATE in text:
        raise _Wrong("this is a private key; the public one is expected")
    if len(text) > 1 << 16:
        raise _Wrong("at most 65,536 characters")
    return text


def _private(text: str | None) -> str | None:
    if text is not None and not (text.isascii() and len(text) <= 1 << 16):
        raise _Wrong("at most 65,536 characters of plain ASCII")
    return text


_RULES: Final[Mapping[str, Callable[[Any], Any]]] = {
    "address": _address,
    "user": _user,
    "ssh_pem_cert": _private,
    "key_passphrase": _password,
    "password": _password,
    "known_host_key": _public,
    "certificate": _public,
    "jump": _jump,
    "labels": _labels,
    "python": _python,
    "references": _references,
    "shell_users": _shell_users,
    "description": _description,
}
