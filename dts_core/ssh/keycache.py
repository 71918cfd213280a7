"""Private keys, opened once: a passphrase costs a quarter of a second of work for each host otherwise."""

import asyncio
import hashlib
from collections import OrderedDict
from typing import Final

import asyncssh

from dts_core.errors import LoginDenied
from dts_core.ssh.target import Credentials

__all__ = ["KeyCache", "Presented"]

Presented = asyncssh.SSHKey | tuple[asyncssh.SSHKey, asyncssh.SSHCertificate]
KEPT: Final = 64


class KeyCache:
    """Opened keys, by a digest of what they were opened from and with."""

    def __init__(self) -> None:
        self._keys: OrderedDict[bytes, asyncio.Task[asyncssh.SSHKey]] = OrderedDict()

    async def key(self, credentials: Credentials, host: str) -> Presented | None:
        """What to present to a host; None when there is no key.

        Raises:
            LoginDenied: The key cannot be opened, or the certificate is none.
        """
        if credentials.private_key is None:
            return None
        pem = credentials.private_key.reveal()
        passphrase = credentials.passphrase.reveal() if credentials.passphrase else None
        try:
            key = await asyncio.shield(self._opened(pem, passphrase))
            if not credentials.certificate:
                return key
            return key, asyncssh.import_certificate(credentials.certificate)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError, TypeError):
            # Without its cause, which may hold a part of what was read.
            if credentials.locked_key:
                why = f"the passphrase that was given does not open {credentials.locked_key}"
                raise LoginDenied(
                    why, host=host, advice="Run it again, and type it anew."
                ) from None
            why = "its private key or certificate cannot be opened"
            raise LoginDenied(why, host=host, advice="Store them again.") from None

    def _opened(self, pem: str, passphrase: str | None) -> "asyncio.Task[asyncssh.SSHKey]":
        digest = hashlib.sha256(f"{len(pem)}:{pem}:{passphrase}".encode()).digest()
        found = self._keys.get(digest)
        if found is None or (found.done() and (found.cancelled() or found.exception())):
            work = asyncio.to_thread(asyncssh.import_private_key, pem, passphrase)
            found = self._keys[digest] = asyncio.create_task(work, name="ssh-open-key")
        self._keys.move_to_end(digest)
        while len(self._keys) > KEPT:
            self._keys.popitem(last=False)
        return found
