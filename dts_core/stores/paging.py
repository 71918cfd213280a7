"""Where a page of jobs begins and ends, and the cursors between pages; the same in every store."""

from collections.abc import Sequence
from typing import NamedTuple

from dts_core.errors import InvalidInput
from dts_core.stores.limits import PAGE_MAX


def check_limit(limit: int) -> None:
    """Refuse a page of no jobs or of too many.

    Raises:
        InvalidInput: It is out of bounds.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidInput(
            f"limit {limit} is not in 1..{PAGE_MAX}.", fields={"limit": f"1..{PAGE_MAX}"}
        )


def cursor_behind(seq: int) -> str:
    """The cursor of a page that ended with this seq."""
    return f"{seq:x}"


class Span(NamedTuple):
    """Inclusive bounds of seq, and the direction."""

    low: int
    high: int
    newest_first: bool

    def behind(self, cursor: str) -> "Span":
        """The part behind a cursor; all of it without one.

        Raises:
            InvalidInput: The cursor is none of ours.
        """
        if not cursor:
            return self
        try:
            at = int(cursor, 16)
        except ValueError:
            raise InvalidInput(
                "the cursor is none of ours.", fields={"cursor": "as the last page gave it"}
            ) from None
        if self.newest_first:
            return self._replace(high=min(self.high, at - 1))
        return self._replace(low=max(self.low, at + 1))

    def until(self, bound: int | None) -> "Span":
        """The part up to and including `bound`; all of it without one."""
        if bound is None:
            return self
        return self._replace(low=bound) if self.newest_first else self._replace(high=bound)

    def nearest(self, bounds: Sequence[int | None]) -> int | None:
        """Of several bounds the one met first; None means the end of the span."""
        met = [bound for bound in bounds if bound is not None]
        if not met:
            return None
        return max(met) if self.newest_first else min(met)

    def furthest(self, bounds: Sequence[int | None]) -> int | None:
        """Of several bounds the one met last; None means the end of the span."""
        met = [bound for bound in bounds if bound is not None]
        if len(met) < len(bounds) or not met:
            return None
        return min(met) if self.newest_first else max(met)
