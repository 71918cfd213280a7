"""The file of the vault's keys: private, outside the store, changed as a whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dts_core.errors import ConfigError
from dts_core.guarded import read_guarded
from dts_core.private import write_private
from dts_core.text import clean
from dts_core.vault.keys import Key, Keyring, new_key, parsed, written

__all__ = ["KeyFile"]

_WORDS: Final = {
    "what": "the key file of the vault",
    "missing": "Put it back from its copy; for a new store make one with `dts admin vault new-key`.",
    "exposed": "`dts admin vault rotate`: others may have read the key.",
}


class KeyFile:
    """A key file that was read; blocking.

    Args:
        path: Of the file.

    Raises:
        ConfigError: It is not there, not private, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ring = self.read()

    @classmethod
    def made(cls, path: Path) -> "KeyFile":
        """The file, made with one key where there is none yet.

        Raises:
            ConfigError: It is there, but not private or damaged; or it cannot be made.
        """
        with _locked(path):
            if not os.path.lexists(path):
                _write(path, Keyring((new_key(),)))
        return cls(path)

    def read(self) -> Keyring:
        """Read the file again, for keys that were added since.

        Raises:
            ConfigError: See the class; the keys read before stay.
        """
        self.ring = parsed(read_guarded(self.path, **_WORDS), file=clean(str(self.path)))
        return self.ring

    def add(self, key: Key, *, is_first: bool) -> None:
        """Put a key into the file, durable when it returns; it seals from now on (`is_first`), or only opens.

        Raises:
            ConfigError: The file cannot be written, or is full.
        """
        with _locked(self.path):
            ring = self.read().with_key(key, is_first=is_first)
            parsed(written(ring.keys), file=clean(str(self.path)))
            _write(self.path, ring)
            self.ring = ring


def _write(path: Path, ring: Keyring) -> None:
    try:
        write_private(path, written(ring.keys))
        _sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(
            f"the key file of the vault cannot be written: {error.strerror}.",
            file=clean(str(path)),
            advice="Check the folder's owner and mode, and the room on the disk.",
        ) from error


def _sync_folder(folder: Path) -> None:
    """A secret sealed with a key must not outlive the key's name in its folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time change the file; the lock lies on its folder."""
    import fcntl  # not everywhere: where it is missing the clients, which load this module, change no key file

    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(
            f"the folder of the vault's key file cannot be used: {error.strerror}.",
            file=clean(str(path)),
            advice="Make the folder first, mode 0700.",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
