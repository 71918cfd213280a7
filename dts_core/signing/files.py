"""The files of keys: a private one that only its owner reads, and lists of public ones."""

import os
import stat
from pathlib import Path
from typing import Final

from dts_core.errors import ConfigError, InvalidInput
from dts_core.keylines import FILE_MAX, parse_key_lines, read_key_lines
from dts_core.private import write_private
from dts_core.signing.keys import PublicKey, Signer, new_pem
from dts_core.text import clean

__all__ = ["load_signer", "make_key", "parse_keys", "read_keys", "write_keys"]

KEY: Final = "signing.key_file"
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def load_signer(path: Path) -> Signer:
    """The private key of a file.

    Raises:
        ConfigError: It is not there, others may read it, or it is no such key; nothing of it is in the message.
    """
    shown = clean(str(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError as error:
        advice = f"`dts admin signing new-key {shown}` makes one."
        raise ConfigError("there is no such file.", file=shown, key=KEY, advice=advice) from error
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}.",
            file=shown,
            key=KEY,
            advice="It belongs to the user that the server runs as.",
        ) from error
    try:
        _check(os.fstat(descriptor), shown)
        content = os.read(descriptor, FILE_MAX)
    finally:
        os.close(descriptor)
    try:
        return Signer(content)
    except InvalidInput as error:
        raise ConfigError(error.message, file=shown, key=KEY, advice=error.advice) from None


def _check(status: os.stat_result, shown: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError("is no plain file.", file=shown, key=KEY)
    if status.st_uid != os.getuid():
        raise ConfigError(
            f"belongs to user {status.st_uid}, not to {os.getuid()}, which this runs as.",
            file=shown,
            key=KEY,
            advice="Give it to the user of the server, with mode 600.",
        )
    if status.st_mode & OTHERS:
        raise ConfigError(
            f"others may read it: its mode is {stat.S_IMODE(status.st_mode):o}.",
            file=shown,
            key=KEY,
            advice=f"chmod 600 {shown}; if somebody may have read it, make a new key "
            "(docs/security.md, Signed functions).",
        )


def make_key(path: Path) -> Signer:
    """Write a new private key, mode 0600, where nothing is yet.

    Raises:
        ConfigError: There is something, or it cannot be written.
    """
    shown = clean(str(path))
    pem = new_pem()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise ConfigError(
            "is there already, and is not overwritten.", file=shown, advice="Name another file."
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}.", file=shown) from error
    os.close(descriptor)
    write_private(path, pem)
    return Signer(pem)


def parse_keys(lines: list[str], *, file: str = "", key: str = "") -> list[PublicKey]:
    """Public keys, one a line; empty lines and what follows a # do not count.

    Raises:
        ConfigError: A line is none; `file` and `key` say where.
    """
    return parse_key_lines(lines, PublicKey.parse, file=file, key=key)


def read_keys(path: Path, *, key: str = "signing.public_keys_file") -> list[PublicKey]:
    """The public keys of a file.

    Raises:
        ConfigError: It cannot be read, others than its owner may write it, or a line is no key.
    """
    return read_key_lines(path, PublicKey.parse, key=key, power="say whose code runs here")


def write_keys(path: Path, keys: list[PublicKey]) -> None:
    """Write public keys where a worker of the same user finds them."""
    text = "# Public keys of those who sign functions here. Written by the server.\n"
    write_private(path, (text + "".join(f"{key}\n" for key in keys)).encode())
