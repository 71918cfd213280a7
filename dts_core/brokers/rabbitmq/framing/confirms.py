"""Publications that wait for the broker's confirm: a set, for confirms may come in any order."""

import asyncio
from collections.abc import Iterable

from dts_core.brokers.rabbitmq.refusals import Refused
from dts_core.errors import CodecError, DtsError, QueueNotFound

Route = tuple[str, str, str]
"""Exchange, routing key and message id: by these a returned message is known again."""


def fail(future: "asyncio.Future[None]", error: DtsError) -> None:
    """End it with an error; whoever gave up waiting need not look at it."""
    if not future.done():
        future.set_exception(error)
        future.exception()


class Confirms:
    """The publications of one channel that are open. Their tags count from 1, as the broker's do."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[asyncio.Future[None], Route]] = {}
        self._last = 0
        # A return names no tag and comes before its confirm: route -> the last tag that it may mean. When several
        # open publications share route and id, all of them count as returned: one too many is published again, and
        # none is lost.
        self._returned: dict[Route, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, future: "asyncio.Future[None]", route: Route) -> None:
        """The next publication."""
        self._last += 1
        self._open[self._last] = (future, route)

    def ack(self, tag: int, *, multiple: bool) -> None:
        """The broker has it, or (`multiple`) everything up to it; or it has returned it.

        Raises:
            CodecError: It was never published.
        """
        for number in self._named(tag, multiple):
            future, route = self._open.pop(number)
            if future.done():
                continue
            if self._returned and number <= self._returned.get(route, 0):
                where = route[1] or route[0]
                fail(future, QueueNotFound(f"no queue takes {where!r}."))
            else:
                future.set_result(None)
        if self._returned and not self._open:
            self._returned.clear()

    def nack(self, tag: int, *, multiple: bool) -> None:
        """The broker did not take it.

        Raises:
            CodecError: It was never published.
        """
        for number in self._named(tag, multiple):
            future, route = self._open.pop(number)
            where = route[1] or route[0]
            fail(future, Refused(f"the broker refused it for {where!r}."))

    def returned(self, route: Route) -> None:
        """A message of this route came back; its confirm follows."""
        self._returned[route] = self._last

    def fail_all(self, error: DtsError) -> None:
        """None of them will be confirmed any more."""
        left, self._open = self._open, {}
        for future, _ in left.values():
            fail(future, error)

    def _named(self, tag: int, multiple: bool) -> Iterable[int]:
        if tag > self._last or (not tag and not multiple):
            raise CodecError(f"a confirm of {tag}, which was never published.")
        if not multiple:
            return (tag,) if tag in self._open else ()
        if not tag or tag == self._last:
            return list(self._open)
        numbers = []
        for number in self._open:  # their tags rise
            if number > tag:
                break
            numbers.append(number)
        return numbers
