"""The vault of a server, from `[vault]`, and what reads SSH keys."""

from pathlib import Path
from typing import Final

from dts_core.settings import VaultSettings
from dts_core.ssh.base import SshKeys
from dts_core.vault import KeyFile, SecretFiles, Vault

__all__ = ["open_vault", "secret_files", "ssh_keys"]

KEY_FILE: Final = "vault.key"


def open_vault(settings: VaultSettings, folder: Path, *, is_shared: bool = False) -> Vault | None:
    """The vault; None where servers share a store and no file is named.

    Without a name the file lies in the data folder, where it is made once. One that is named is never made here: a
    server that lost its keys has to say so, not begin with new ones.

    Args:
        settings: `[vault]`.
        folder: The data folder.
        is_shared: Whether other servers may stand on the same store.

    Raises:
        ConfigError: The file is not there, others can read it, or it is damaged.
    """
    if settings.key_file:
        return Vault(KeyFile(Path(settings.key_file).expanduser()), is_shared=is_shared)
    if is_shared:
        return None
    return Vault(KeyFile.made(folder / KEY_FILE))


def secret_files(settings: VaultSettings) -> SecretFiles:
    """The secrets that lie in files of their own."""
    folder = settings.secrets_dir
    return SecretFiles(Path(folder).expanduser() if folder else None)


def ssh_keys() -> SshKeys:
    """What reads SSH keys; its library is slow to load."""
    from dts_core.ssh.keys import AsyncsshKeys

    return AsyncsshKeys()
