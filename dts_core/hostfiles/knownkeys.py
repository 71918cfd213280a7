"""Host keys of a known_hosts file, for hosts by the name and port that ssh has them under."""

import base64
import binascii
import hmac
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from dts_core.errors import InvalidInput
from dts_core.hostfiles.found import Findings, FoundHost, port_of
from dts_core.hostfiles.sshconfig import matches

__all__ = ["SSH_PORT", "KnownKeys", "keys_of", "read_known_keys"]

SSH_PORT: Final = 22
_AUTHORITY: Final = "@cert-authority"
_REVOKED: Final = "@revoked"
_HASHED: Final = "|1|"
_KINDS: Final = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa",
)  # fmt: skip
"""Kinds of keys that a host may prove itself with here."""


class _Entry(NamedTuple):
    """One line."""

    names: str
    """With commas between them; or one that is hashed."""
    mark: str
    key: str
    """`TYPE BASE64`"""
    line: int

    def is_of(self, looked_up: str) -> bool:
        """Whether it is of the host that ssh would look up so."""
        if self.names.startswith(_HASHED):
            salt, digest = _hash_of(self.names)
            return hmac.digest(salt, looked_up.encode(), "sha1") == digest
        return matches(self.names.split(","), looked_up)


class KnownKeys:
    """The keys of one file.

    Args:
        file: Its name, for people.
        entries: Its lines.
    """

    def __init__(self, file: str, entries: list[_Entry]) -> None:
        self.file = file
        self._entries = entries

    def of(self, host: str, port: int) -> list[str]:
        """The keys of a host, `TYPE BASE64` or `@cert-authority TYPE BASE64` each; none of them is revoked.

        Args:
            host: Its address, or the alias that its keys are under.
            port: Of its SSH server.
        """
        return keys_of([self], host, port)

    def lines(self, host: str, port: int) -> list[_Entry]:
        """Those of a host, revoked keys too."""
        looked_up = (host if port == SSH_PORT else f"[{host}]:{port}").lower()
        return [each for each in self._entries if each.is_of(looked_up)]

    def hosts(self) -> Iterator[FoundHost]:
        """A host for each line that names one in the clear, by the first name of the line."""
        told = set()
        for entry in self._entries:
            name, port = _clear(entry)
            if name and (name, port) not in told:
                told.add((name, port))
                fields = {"address": name} | ({"port": port} if port != SSH_PORT else {})
                where = f"{self.file}, line {entry.line}"
                yield FoundHost(name=name, where=where, fields=fields)


def keys_of(files: Sequence[KnownKeys], host: str, port: int) -> list[str]:
    """As `KnownKeys.of` of several files together, as ssh reads them: what one of them revokes counts in none."""
    found = [line for each in files for line in each.lines(host, port)]
    revoked = {each.key for each in found if each.mark == _REVOKED}
    return list(
        dict.fromkeys(
            f"{each.mark} {each.key}".lstrip()
            for each in found
            if each.mark != _REVOKED and each.key not in revoked
        )
    )


def read_known_keys(
    file: str, text: str, findings: Findings, normal: Callable[[str], list[str]]
) -> KnownKeys:
    """The keys of a known_hosts file.

    Args:
        file: Its name, for people.
        text: What stands in it.
        findings: Takes what is wrong, and what is not taken.
        normal: `SshKeys.host_keys`, which knows keys.
    """
    entries = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        mark = words.pop(0) if words[0].startswith("@") else ""
        try:
            entry = _entry(mark, words, number, normal)
        except ValueError as error:
            findings.wrong(file, number, str(error))
            continue
        if entry is None:
            why = f"a key of the kind {words[1]} is not taken: it is left out"
            findings.notes.append(f"{file}, line {number}: {why}")
        else:
            entries.append(entry)
    return KnownKeys(file, entries)


def _entry(
    mark: str, words: list[str], number: int, normal: Callable[[str], list[str]]
) -> _Entry | None:
    """A line; None when its kind of key is not taken.

    Raises:
        ValueError: It is no such line; says why.
    """
    if mark not in ("", _AUTHORITY, _REVOKED):
        raise ValueError(f"the mark {mark} is not known")
    if len(words) < 3:
        raise ValueError("it is no line of known_hosts: NAMES TYPE BASE64 is expected")
    if words[0].startswith("|"):
        _hash_of(words[0])
    if words[1] not in _KINDS:
        return None
    try:
        [key] = normal(f"{words[1]} {words[2]}")
    except InvalidInput:
        raise ValueError("its key is damaged, or cut off") from None
    return _Entry(words[0], mark, key, number)


def _hash_of(names: str) -> tuple[bytes, bytes]:
    """Salt and digest of a hashed name."""
    parts = names.split("|")
    try:
        if not names.startswith(_HASHED) or len(parts) != 4:
            raise ValueError
        salt, digest = (base64.b64decode(part, validate=True) for part in parts[2:])
    except (binascii.Error, ValueError):
        raise ValueError("its hashed name is damaged, or of an unknown form") from None
    return salt, digest


def _clear(entry: _Entry) -> tuple[str, int]:
    """The first name of a line, and its port; empty where it has none in the clear, or is a rule for many."""
    first = entry.names.split(",")[0]
    if entry.mark or entry.names.startswith("|") or any(sign in entry.names for sign in "*?!"):
        return "", SSH_PORT
    host, colon, port = first.removeprefix("[").partition("]:")
    number = port_of(port) if colon else SSH_PORT
    return (host, number) if number else ("", SSH_PORT)
