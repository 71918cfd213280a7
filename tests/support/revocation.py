"""Who may what on several servers, as it was told them; and requests that must see it a second later.

A right that was taken away is known everywhere within RECHECK_SECONDS of the answer that confirmed it. A request that
was sent later and succeeds is a *later success*; one that is refused although its rights stand is *wrongly refused*.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from dts_core.services.sessions import RECHECK_SECONDS

__all__ = ["STATUSES_OF_TROUBLE", "Record", "Right", "Sent"]

STATUSES_OF_TROUBLE: Final = (429, 503)
"""Neither a success nor a verdict about rights."""


@dataclass
class Right:
    """Something that a request needs: a token that counts, a role, a membership, a namespace."""

    kind: str
    """What takes it away: names the figures."""
    ended: float | None = None
    """When the answer to its end arrived; None: it stands, or nothing is known."""
    granted: float | None = None
    """When the answer to its grant arrived."""
    changes: int = 0
    """Raised before each request that changes it, and after."""

    def begin(self) -> None:
        """A request that changes it goes out: until it is answered nothing is known."""
        self.changes += 1
        self.ended = self.granted = None

    def end(self) -> None:
        """It was taken away."""
        self.changes += 1
        self.ended, self.granted = time.monotonic(), None

    def grant(self) -> None:
        """It was given."""
        self.changes += 1
        self.ended, self.granted = None, time.monotonic()

    def is_over(self, at: float) -> bool:
        """Whether no server may honour it at that instant."""
        return self.ended is not None and at - self.ended >= RECHECK_SECONDS

    def stands(self, at: float) -> bool:
        """Whether every server must honour it at that instant."""
        return self.granted is not None and at - self.granted >= RECHECK_SECONDS


class Sent:
    """One request as it goes out: what must become of it, as far as that is known.

    Args:
        rights: Everything that it needs.
        is_sure: Whether these are enough for it to succeed.
    """

    def __init__(self, *rights: Right, is_sure: bool = True) -> None:
        self._rights = [(right, right.changes) for right in rights]
        now = time.monotonic()
        self._over = [right for right in rights if right.is_over(now)]
        self._stands = is_sure and all(right.stands(now) for right in rights)

    def over(self) -> str:
        """The kind of the end that it must have met; empty: none, or one was undone meanwhile."""
        unchanged = {id(right) for right, seen in self._rights if right.changes == seen}
        return next((each.kind for each in self._over if id(each) in unchanged), "")

    def must_pass(self) -> bool:
        """Whether everything stood, and still did when the answer came."""
        return self._stands and all(right.changes == seen for right, seen in self._rights)


@dataclass
class Record:
    """What became of everything."""

    requests: int = 0
    revocations: Counter[str] = field(default_factory=Counter)
    refused_later: Counter[str] = field(default_factory=Counter)
    """Requests that met an end at least RECHECK_SECONDS old, and were refused."""
    passed: int = 0
    """Requests whose rights stood, and that succeeded."""
    troubles: int = 0
    later_successes: list[str] = field(default_factory=list)
    wrongly_refused: list[str] = field(default_factory=list)

    def note(self, sent: Sent, status: int, what: str) -> None:
        """Judge an answer."""
        self.requests += 1
        over = sent.over()
        if status in STATUSES_OF_TROUBLE:
            self.troubles += 1
        elif status < 300 and over:
            self.later_successes.append(f"{what}: {status} after {over}")
        elif over:
            self.refused_later[over] += 1
        elif status < 300:
            self.passed += 1
        elif sent.must_pass():
            self.wrongly_refused.append(f"{what}: {status}")

    def figures(self) -> dict[str, object]:
        """For people."""
        return {
            "requests": self.requests,
            "passed": self.passed,
            "revocations": sum(self.revocations.values()),
            "by_kind": dict(sorted(self.revocations.items())),
            "refused_later": sum(self.refused_later.values()),
            "troubles": self.troubles,
            "later_successes": len(self.later_successes),
            "wrongly_refused": len(self.wrongly_refused),
        }
