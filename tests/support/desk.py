"""A claim desk in memory, which remembers what it was asked."""

from collections.abc import Sequence

from dts_core.brokers.base import ClaimAnswer, ClaimRequest, ClaimVerdict
from dts_core.errors import StoreUnavailable


class MemoryDesk:
    """Grants every claim but those that `verdicts` speaks about; `unavailable` makes every call fail."""

    def __init__(self) -> None:
        self.verdicts: dict[str, ClaimAnswer] = {}
        self.epochs: dict[str, int] = {}
        self.owners: dict[str, str] = {}
        self.requests: list[ClaimRequest] = []
        self.batches: list[int] = []
        self.given_back: list[tuple[str, int]] = []
        self.lost: list[tuple[str, int]] = []
        self.buried: list[str] = []
        self.bury_on_loss: set[str] = set()
        self.unavailable = False
        self.never_arrived: list[tuple[str, int]] = []

    def held_against(self, job: str, seconds: float) -> None:
        self.verdicts[job] = ClaimAnswer(ClaimVerdict.HELD, retry_after_seconds=seconds)

    def finish(self, job: str) -> None:
        self.verdicts[job] = ClaimAnswer(ClaimVerdict.FINISHED)

    async def grant(self, requests: Sequence[ClaimRequest]) -> list[ClaimAnswer]:
        self._check()
        self.requests += requests
        self.batches.append(len(requests))
        return [self._answer(request) for request in requests]

    def _answer(self, request: ClaimRequest) -> ClaimAnswer:
        verdict = self.verdicts.get(request.job)
        if verdict is not None:
            return verdict
        epoch = self.epochs[request.job] = self.epochs.get(request.job, 0) + 1
        self.owners[request.job] = request.worker
        return ClaimAnswer(ClaimVerdict.GRANTED, epoch=epoch, attempt=epoch)

    async def give_back(self, claims: Sequence[tuple[str, int]], reason: str) -> None:
        self._check()
        self.given_back += claims
        self._free(claims)

    async def lose(self, claims: Sequence[tuple[str, int]], reason: str) -> list[str]:
        self._check()
        self.lost += claims
        self._free(claims)
        return [job for job, _ in claims if job in self.bury_on_loss]

    async def bury(self, jobs: Sequence[str], reason: str) -> None:
        self._check()
        self.buried += jobs

    async def held(self, worker: str, claims: Sequence[tuple[str, int]]) -> list[bool]:
        self._check()
        return [
            self.owners.get(job) == worker and self.epochs.get(job) == epoch
            for job, epoch in claims
        ]

    async def unheld(self, worker: str, claims: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        self._check()
        return [claim for claim in self.never_arrived if claim not in claims]

    def _free(self, claims: Sequence[tuple[str, int]]) -> None:
        for job, _ in claims:
            self.owners.pop(job, None)

    def _check(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the store is away.")
