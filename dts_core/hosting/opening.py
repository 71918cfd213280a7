"""To which keys servers seal secret arguments, and with which ones workers open them, from their settings."""

import logging
import os
from pathlib import Path

from dts_core.places import ARGUMENTS_KEY, is_amqp, is_stdio, socket_of
from dts_core.sealed import Opener, SealingKey
from dts_core.sealed.files import parse_keys, read_keys, read_opening_keys
from dts_core.settings import OpeningSettings, SealingSettings, WorkerFile

__all__ = ["named_opener", "opener_of", "sealing_keys"]

_log = logging.getLogger(__name__)


def sealing_keys(settings: SealingSettings) -> list[SealingKey]:
    """The public keys that a server's settings name, in their order; none when they name none.

    Raises:
        ConfigError: One is no key, or the file cannot be used.
    """
    keys = parse_keys(settings.public_keys, key="arguments.public_keys")
    if settings.public_keys_file:
        keys += read_keys(Path(settings.public_keys_file).expanduser())
    return keys


def named_opener(settings: OpeningSettings) -> Opener:
    """The keys that the settings name; none when they name none.

    Raises:
        ConfigError: The file is not there, others may read it, or it is damaged.
    """
    if not settings.key_file:
        return Opener()
    return Opener(read_opening_keys(Path(settings.key_file).expanduser()))


def opener_of(settings: WorkerFile) -> Opener:
    """The keys of the named file; with none named, on a link, those of the server's own, where this user can read it.

    Raises:
        ConfigError: The file is not there, others may read it, or it is damaged.
    """
    named = settings.arguments.key_file
    if named:
        return _told(Path(named).expanduser())
    if is_amqp(settings.broker.url) or is_stdio(settings.broker.url):
        return Opener()
    beside = socket_of(settings.broker.url, key="broker.url").parent / ARGUMENTS_KEY
    return _told(beside) if os.access(beside, os.R_OK) else Opener()


def _told(path: Path) -> Opener:
    opener = Opener(read_opening_keys(path))
    _log.info("secret arguments are opened with the keys %s", ", ".join(opener.ids))
    return opener
