"""Secrets of people: hashed with argon2id, at most two at a time, never on the loop."""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from dts_core.errors import InvalidInput

SECRET_MIN = 8
SECRET_MAX = 1024
AT_ONCE = 2
"""Hashes computed at the same time: bounds memory to AT_ONCE x 19 MiB and leaves processors to the jobs."""


class Passwords:
    """Hashes and verifies with the minimum that OWASP recommends: 19 MiB, two passes, one lane."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._decoy = ""

    async def hash(self, secret: str) -> str:
        """The hash to store.

        Raises:
            InvalidInput: Shorter than SECRET_MIN or longer than SECRET_MAX characters.
        """
        if not SECRET_MIN <= len(secret) <= SECRET_MAX:
            raise InvalidInput(
                f"a secret has {SECRET_MIN} to {SECRET_MAX} characters.",
                fields={"secret": f"{SECRET_MIN} to {SECRET_MAX} characters"},
            )
        async with self._gate:
            return await asyncio.to_thread(self._hasher.hash, secret)

    async def verify(self, stored: str, secret: str) -> bool:
        """Whether the secret is the one; `stored` empty (no such user) takes as long and is False."""
        if len(secret) > SECRET_MAX:
            return False
        if not self._decoy:
            self._decoy = await self.hash(secrets.token_urlsafe(16))
        async with self._gate:
            matches = await asyncio.to_thread(self._verify, stored or self._decoy, secret)
        return matches and bool(stored)

    def _verify(self, stored: str, secret: str) -> bool:
        try:
            return self._hasher.verify(stored, secret)
        except (Argon2Error, InvalidHashError):
            return False
