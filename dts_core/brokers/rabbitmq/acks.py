"""Which deliveries of a channel are out, and how few acks end those that are done. No input or output here."""

from typing import Generic, TypeVar

T = TypeVar("T")


class AckBook(Generic[T]):
    """Deliveries of one channel by their tags, which rise.

    An ack with `multiple` ends every delivery up to its tag, so it may only be sent for the longest run of done ones
    from the oldest delivery on; what is done beyond a delivery that is still out is acked one by one.
    """

    def __init__(self) -> None:
        self._out: dict[int, T] = {}
        """Tag -> its owner; in the order of the tags."""
        self._done: set[int] = set()

    def __len__(self) -> int:
        return len(self._out) - len(self._done)

    def add(self, tag: int, owner: T) -> None:
        """A delivery came."""
        self._out[tag] = owner

    def get(self, tag: int) -> T | None:
        """Its owner; None when it is not out (any more)."""
        return None if tag in self._done else self._out.get(tag)

    def end(self, tag: int) -> T | None:
        """A delivery is done, to be acked with the next `acks`; None when it is not out (any more)."""
        owner = self.get(tag)
        if owner is not None:
            self._done.add(tag)
        return owner

    def remove(self, tag: int) -> T | None:
        """A delivery was handed back otherwise; None when it is not out (any more)."""
        return None if tag in self._done else self._out.pop(tag, None)

    def acks(self) -> list[tuple[int, bool]]:
        """(tag, multiple) to be sent now, in order."""
        done = self._done
        if not done:
            return []
        run: list[int] = []
        for tag in self._out:
            if tag not in done:
                break
            run.append(tag)
        for tag in run:
            del self._out[tag]
        done.difference_update(run)
        acks = [(run[-1], len(run) > 1)] if run else []
        for tag in sorted(done):
            del self._out[tag]
            acks.append((tag, False))
        done.clear()
        return acks
