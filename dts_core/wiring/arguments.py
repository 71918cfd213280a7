"""The keys of secret arguments: found where the settings say, or made in the data folder."""

import os
from pathlib import Path

from dts_core.hosting.opening import sealing_keys
from dts_core.places import ARGUMENTS_KEY
from dts_core.sealed import Opener, Sealer
from dts_core.sealed.files import add_key, read_opening_keys
from dts_core.settings import SealingSettings

__all__ = ["owners_keys", "sealer_of"]


def sealer_of(settings: SealingSettings) -> Sealer | None:
    """What seals to the keys that the settings name; None when they name none.

    Raises:
        ConfigError: One is no key, or the file cannot be used.
    """
    keys = sealing_keys(settings)
    return Sealer(keys) if keys else None


def owners_keys(folder: Path, settings: SealingSettings) -> tuple[Sealer, Opener]:
    """What seals, and what the internal worker opens with, of whoever owns a data folder.

    Raises:
        ConfigError: As `sealer_of`; or the file in the folder can be read by others, or is damaged.
    """
    path, named = folder / ARGUMENTS_KEY, sealer_of(settings)
    if not os.path.lexists(path):
        if named is not None:
            return named, Opener()
        add_key(path)
    keys = read_opening_keys(path)
    return named or Sealer([keys[0].public]), Opener(keys)
