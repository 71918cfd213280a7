"""Claims of many workers in one write: what is asked while one is under way goes together into the next."""

import asyncio
from collections.abc import Sequence
from typing import Final

from dts_core.brokers.base import ClaimAnswer, ClaimRequest
from dts_core.errors import DtsError, StoreUnavailable
from dts_core.services.claims import Claims

BATCH_MAX: Final = 1_000
"""Most claims of one write, give or take one question."""


class _Batch:
    def __init__(self) -> None:
        self.requests: list[ClaimRequest] = []
        self.answers: list[ClaimAnswer] | None = None
        self.error: DtsError | None = None
        self.is_begun = False


class Granting:
    """Puts questions together. Belongs to the loop's thread.

    Args:
        claims: Grants them.
    """

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._next = _Batch()
        self._turn = asyncio.Lock()

    async def grant(self, requests: Sequence[ClaimRequest]) -> list[ClaimAnswer]:
        """One answer each, in order.

        Raises:
            StoreUnavailable: Some of them may have been granted.
        """
        batch = self._next
        start = len(batch.requests)
        batch.requests += requests
        if len(batch.requests) >= BATCH_MAX:
            self._next = _Batch()
        async with self._turn:
            if not batch.is_begun:
                await self._write(batch)
        if batch.answers is None:
            raise batch.error or StoreUnavailable("the claims were not granted.")
        return batch.answers[start : start + len(requests)]

    async def _write(self, batch: _Batch) -> None:
        batch.is_begun = True
        if self._next is batch:
            self._next = _Batch()
        try:
            batch.answers = await self._claims.grant(batch.requests)
        except DtsError as error:
            batch.error = error
