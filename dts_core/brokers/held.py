"""The claims of one link: held from the grant until the result is published and the delivery acked."""

__all__ = ["HeldClaims"]


class _Claim:
    __slots__ = ("is_acked", "is_reported")

    def __init__(self) -> None:
        self.is_acked = False
        self.is_reported = False


class HeldClaims:
    """By (job, epoch). An early ack leaves the claim until its result comes."""

    def __init__(self) -> None:
        self._claims: dict[tuple[str, int], _Claim] = {}

    def __contains__(self, claim: object) -> bool:
        return claim in self._claims

    def __len__(self) -> int:
        return len(self._claims)

    def add(self, job: str, epoch: int) -> None:
        """Hold a claim from now on."""
        self._claims[job, epoch] = _Claim()

    def reported(self, job: str, epoch: int) -> None:
        """The claim's result was published."""
        claim = self._claims.get((job, epoch))
        if claim is not None:
            claim.is_reported = True
            if claim.is_acked:
                del self._claims[job, epoch]

    def acked(self, job: str, epoch: int) -> None:
        """The claim's delivery was acked."""
        claim = self._claims.get((job, epoch))
        if claim is not None:
            claim.is_acked = True
            if claim.is_reported:
                del self._claims[job, epoch]

    def drop(self, job: str, epoch: int) -> bool:
        """Hold it no more; whether it was held."""
        return self._claims.pop((job, epoch), None) is not None

    def unreported(self) -> list[tuple[str, int]]:
        """Those whose result was not published."""
        return [key for key, claim in self._claims.items() if not claim.is_reported]

    def take_unreported(self) -> list[tuple[str, int]]:
        """End all claims; returns those whose run is lost with the link: neither reported nor acked."""
        lost = [
            key
            for key, claim in self._claims.items()
            if not claim.is_acked and not claim.is_reported
        ]
        self._claims.clear()
        return lost
