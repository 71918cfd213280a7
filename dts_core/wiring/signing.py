"""The key that a server signs functions with: found where its settings say, or made in its data folder."""

import logging
from pathlib import Path
from typing import Final

from dts_core.errors import ConfigError
from dts_core.places import PUBLIC_KEYS, SIGNING_KEY
from dts_core.settings import SigningSettings
from dts_core.signing import Signer
from dts_core.signing.files import load_signer, make_key, write_keys

__all__ = ["named_signer", "owners_signer", "shared_signer"]

UNSIGNED: Final = (
    "functions are not signed: [signing] key_file is empty, and every server has to use the same key. "
    "`dts admin signing new-key FILE` makes one"
)
_log = logging.getLogger(__name__)


def named_signer(settings: SigningSettings) -> Signer | None:
    """The key that the settings name, None when they name none; for the very start, where a mistake is told at once.

    Raises:
        ConfigError: The file is not there, others may read it, or it is no key.
    """
    if not settings.key_file:
        return None
    return load_signer(Path(settings.key_file).expanduser())


def owners_signer(folder: Path, named: Signer | None) -> Signer:
    """The key of whoever owns a data folder, made there when none is named; its public half lies beside it.

    Args:
        folder: The data folder, its store opened.
        named: What the settings name.

    Raises:
        ConfigError: Others may read the one in the folder, or it is no key.
    """
    path = folder / SIGNING_KEY
    signer = named or (load_signer(path) if path.exists() else make_key(path))
    write_keys(folder / PUBLIC_KEYS, [signer.public])
    return _told(signer)


def shared_signer(named: Signer | None, *, jobs: bool = False) -> Signer | None:
    """The key of one of several servers; without one nothing is signed, and the log says so.

    Raises:
        ConfigError: Jobs are to be signed, and there is no key.
    """
    if named is None and jobs:
        raise ConfigError(
            "jobs are to be signed, and there is no key to sign them with.",
            key="signing.jobs",
            advice="Name one in [signing] key_file: `dts admin signing new-key FILE` makes it.",
        )
    if named is None:
        _log.warning(UNSIGNED)
        return None
    return _told(named)


def _told(signer: Signer) -> Signer:
    _log.info("functions are signed with key %s", signer.public.id)
    return signer
