"""Secrets of people: hashed with argon2id, one at a time, never on the loop, behind everything else."""

import asyncio
import os
import secrets
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import ParamSpec, Self, TypeVar

from argon2 import PasswordHasher

from dts_core.errors import InvalidInput, Throttled
from dts_core.services.aside import Aside, compare
from dts_core.views.declared import SECRET_MAX, SECRET_MIN

P = ParamSpec("P")
R = TypeVar("R")
NICENESS = 10
"""Of the thread that hashes: whoever floods a server with logins slows logins, and not the calls of others."""
CROWD = 2
"""Others that wait, from which on secrets are compared aside: who logs in alone does not wait for a full machine."""
WAITING_MAX = 50
"""Most that wait for their turn: about a second of hashing."""


class Passwords:
    """Hashes and verifies with the minimum that OWASP recommends: 19 MiB, two passes, one lane.

    Args:
        aside: Compares the secrets of a crowd in a process of its own; None: all is computed in a thread here.
    """

    def __init__(self, aside: Aside | None = None) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._aside = aside
        self._gate = asyncio.Semaphore(1)
        self._thread = ThreadPoolExecutor(1, "dts-passwords", initializer=_give_way)
        self._waiting = 0
        self._decoy = ""

    @classmethod
    def for_this_system(cls) -> Self:
        """On Linux the secrets of a crowd are compared in a process aside, elsewhere all in a thread."""
        return cls(Aside() if sys.platform == "linux" else None)

    async def hash(self, secret: str, *, field: str = "secret") -> str:
        """The hash to store; `field` is what a refusal calls it.

        Raises:
            InvalidInput: Shorter than SECRET_MIN or longer than SECRET_MAX characters.
            Throttled: WAITING_MAX others wait already.
        """
        if not SECRET_MIN <= len(secret) <= SECRET_MAX:
            raise InvalidInput(
                f"a secret has {SECRET_MIN} to {SECRET_MAX} characters.",
                fields={field: f"{SECRET_MIN} to {SECRET_MAX} characters"},
            )
        async with self._turn():
            return await self._apart(self._hasher.hash, secret)

    async def verify(self, stored: str, secret: str) -> bool:
        """Whether the secret is the one; `stored` empty (no such user) takes as long and is False.

        Raises:
            Throttled: WAITING_MAX others wait already; nothing was compared.
        """
        if len(secret) > SECRET_MAX:
            return False
        if not self._decoy:
            self._decoy = await self.hash(secrets.token_urlsafe(16))
        async with self._turn():
            aside = self._aside if self._waiting >= CROWD else None
            matches = await self._apart(self._verify, aside, stored or self._decoy, secret)
        return matches and bool(stored)

    async def _apart(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: work(*args, **kwargs))

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= WAITING_MAX:
            raise Throttled(
                "too many logins at this moment.", retry_after_seconds=1.0, advice="Try again soon."
            )
        self._waiting += 1
        try:
            await self._gate.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._gate.release()

    def _verify(self, aside: Aside | None, stored: str, secret: str) -> bool:
        told = None if aside is None else aside.verify(stored, secret)
        return compare(self._hasher, stored, secret) if told is None else told


def _give_way() -> None:
    """Lower the priority of this thread: on Linux each has one of its own, elsewhere only the process has."""
    if sys.platform == "linux":
        with suppress(OSError):
            here = threading.get_native_id()
            now = os.getpriority(os.PRIO_PROCESS, here)
            os.setpriority(os.PRIO_PROCESS, here, min(now + NICENESS, 19))
