"""Secrets at rest: sealed under a key that lies outside the store, and bound to the place that they are sealed for."""

from dts_core.vault.files import SecretFiles, is_file_name
from dts_core.vault.keyfile import KeyFile
from dts_core.vault.keys import Key, Keyring, new_key
from dts_core.vault.sealing import Place, Vault, key_of
from dts_core.vault.secret import Secret

__all__ = [
    "Key",
    "KeyFile",
    "Keyring",
    "Place",
    "Secret",
    "SecretFiles",
    "Vault",
    "is_file_name",
    "key_of",
    "new_key",
]
