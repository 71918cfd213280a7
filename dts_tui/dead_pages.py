"""Which dead letters are known: pages of them as they come, the newest asked for again and again."""

from collections.abc import Collection
from dataclasses import dataclass, field

from dts_core.views import DeadLetterList, DeadLetterView

PAGE = 200
ASKED_MOST = 500
"""Most of one request."""
LOOKS_MOST = 20
"""Most requests for what a filter or a queue may have further down, before somebody asks for more."""


@dataclass
class DeadPages:
    """Dead letters by number. The server says where a page ended, 0 at the end; a page may be short or even empty.

    Attributes:
        known: Those that are there, as far as was looked.
        next: Where to look on; 0: nothing is further down.
        asked: Whether there was any answer.
    """

    known: dict[int, DeadLetterView] = field(default_factory=dict)
    next: int = 0
    asked: bool = False
    _looks: int = 0

    def newest(self, page: DeadLetterList) -> None:
        """The newest ones again: what is not in the page any more is gone, what lies below it stays."""
        below = {seq: each for seq, each in self.known.items() if seq < page.next}
        self.known = {each.seq: each for each in page.items} | below
        if not self.asked or not page.next:
            self.next = page.next
        elif self.next:
            self.next = min(self.next, page.next)
        self.asked = True

    def older(self, page: DeadLetterList) -> None:
        """The following page."""
        self.known |= {each.seq: each for each in page.items}
        self.next = page.next

    def forget(self, seqs: Collection[int]) -> None:
        """These were sent again or thrown away."""
        for seq in seqs:
            self.known.pop(seq, None)

    def in_order(self) -> list[DeadLetterView]:
        """The newest first."""
        return [self.known[seq] for seq in sorted(self.known, reverse=True)]

    def may_look(self) -> bool:
        """Whether to look further down unasked; counts how often that was."""
        self._looks += bool(self.next)
        return bool(self.next) and self._looks <= LOOKS_MOST

    def look_anew(self) -> None:
        """Somebody wants to see more, or something else."""
        self._looks = 0
