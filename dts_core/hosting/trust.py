"""Whose functions a worker runs, from its settings."""

import logging
from pathlib import Path
from typing import Final

from dts_core.errors import ConfigError
from dts_core.places import PUBLIC_KEYS, is_amqp, is_stdio, socket_of
from dts_core.settings import WorkerFile
from dts_core.signing import PublicKey, Trust
from dts_core.signing.files import parse_keys, read_keys

__all__ = ["NOTHING", "keys_beside", "listed_keys", "named_keys", "trust_of"]

_log = logging.getLogger(__name__)

NOTHING: Final = "nothing is verified: who may speak to the broker decides what runs here. Give [signing] public_keys"


def named_keys(settings: WorkerFile) -> list[PublicKey]:
    """The keys that the settings name, in the order of the file.

    Raises:
        ConfigError: One is no key, the file cannot be used; or there is none, they are required, and nothing but the
            settings could bring any.
    """
    keys, signing = _given(settings), settings.signing
    if not keys and (signing.required or signing.jobs) and _is_alone(settings):
        raise _no_keys()
    return keys


def trust_of(settings: WorkerFile) -> Trust | None:
    """Whose signatures count: the named keys and, on a link, those that the server has left beside its socket.

    To be asked once the broker is there: a server that starts for the first time makes its key before its socket.

    Returns:
        None when there is no key and none is required; the log says so.

    Raises:
        ConfigError: See `named_keys`; or there is no key, and one is required.
    """
    keys = named_keys(settings)
    beside = keys_beside(settings)
    if beside is not None and beside.is_file():
        keys += read_keys(beside)
    if keys:
        trust = Trust(keys)
        _log.info("functions are verified, by the keys %s", ", ".join(trust.ids))
        return trust
    if settings.signing.required or settings.signing.jobs:
        raise _no_keys()
    _log.warning(NOTHING)
    return None


def listed_keys(settings: WorkerFile) -> list[PublicKey]:
    """The keys that the settings list and those of the file that goes with them, however many.

    Raises:
        ConfigError: One is no key, or the file cannot be used or is not there.
    """
    beside = keys_beside(settings)
    return _given(settings) + ([] if beside is None else read_keys(beside))


def keys_beside(settings: WorkerFile) -> Path | None:
    """Where the server of a link leaves its public keys, unless the settings name another file; None elsewhere."""
    if settings.signing.public_keys_file or _is_alone(settings):
        return None
    return socket_of(settings.broker.url, key="broker.url").parent / PUBLIC_KEYS


def _is_alone(settings: WorkerFile) -> bool:
    """Whether no server's files lie where this worker finds its broker."""
    return is_amqp(settings.broker.url) or is_stdio(settings.broker.url)


def _given(settings: WorkerFile) -> list[PublicKey]:
    signing = settings.signing
    keys = parse_keys(signing.public_keys, key="signing.public_keys")
    if signing.public_keys_file:
        keys += read_keys(Path(signing.public_keys_file).expanduser())
    return keys


def _no_keys() -> ConfigError:
    return ConfigError(
        "there is no public key, so nothing could be verified that is to run here.",
        key="signing.public_keys",
        advice="`dts admin signing public FILE` prints the server's. To run whatever the broker hands over: "
        "[signing] required = false, and jobs = false.",
    )
