"""The files of keys for secret arguments: a private one that only its owner reads, and lists of public ones."""

import os
from pathlib import Path
from typing import Final

from dts_core.errors import ConfigError, InvalidInput
from dts_core.guarded import read_guarded
from dts_core.keylines import parse_key_lines, read_key_lines
from dts_core.private import write_private
from dts_core.sealed.keys import OpeningKey, SealingKey
from dts_core.text import clean

__all__ = ["add_key", "parse_keys", "read_keys", "read_opening_keys"]

_HEAD: Final = """\
# Private keys for secret arguments: who reads this file opens what is sealed to them. One key a line; the first is
# sealed to, every key opens. Keep the mode 0600.
"""
_WORDS: Final = {
    "what": "the key file of secret arguments",
    "missing": "`dts admin arguments new-key FILE` makes one; workers need the same file.",
    "exposed": "`dts admin arguments new-key` adds a new one: others may have read the key.",
}


def read_opening_keys(path: Path) -> list[OpeningKey]:
    """The private keys of a file, at least one.

    Raises:
        ConfigError: It is not there, others may read it, or a line is no key; nothing of it is in the message.
    """
    shown = clean(str(path))
    found = []
    for number, line in enumerate(_lines(read_guarded(path, **_WORDS)), start=1):
        if not line:
            continue
        try:
            found.append(OpeningKey.parse(line))
        except InvalidInput as error:
            raise ConfigError(
                f"line {number}: {error.message}", file=shown, advice=error.advice
            ) from None
    if not found:
        raise ConfigError("holds no key.", file=shown, advice=_WORDS["missing"])
    return found


def add_key(path: Path) -> OpeningKey:
    """Put a new private key first into a file, which is made, mode 0600, where there is none.

    Raises:
        ConfigError: There is something else, or it cannot be written.
    """
    former = read_opening_keys(path) if os.path.lexists(path) else []
    made = OpeningKey.new()
    lines = "".join(f"{each.written()}\n" for each in (made, *former))
    try:
        write_private(path, (_HEAD + lines).encode())
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}.", file=clean(str(path))) from error
    return made


def parse_keys(lines: list[str], *, file: str = "", key: str = "") -> list[SealingKey]:
    """Public keys, one a line; empty lines and what follows a # do not count.

    Raises:
        ConfigError: A line is none; `file` and `key` say where.
    """
    return parse_key_lines(lines, SealingKey.parse, file=file, key=key)


def read_keys(path: Path) -> list[SealingKey]:
    """The public keys of a file.

    Raises:
        ConfigError: It cannot be read, others than its owner may write it, or a line is no key.
    """
    power = "have secrets sealed to a key of their own"
    return read_key_lines(path, SealingKey.parse, key="arguments.public_keys_file", power=power)


def _lines(content: bytes) -> list[str]:
    """Its lines, without what follows a #."""
    text = content.decode("utf-8", "replace")
    return [line.partition("#")[0].strip() for line in text.splitlines()]
