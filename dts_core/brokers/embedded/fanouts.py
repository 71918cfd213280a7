"""Fanouts: each subscriber has its own bounded queue, so that a slow one loses its own messages and delays nobody."""

import asyncio
from collections import deque
from typing import Final

import structlog

from dts_core.brokers.base import Message, OnMessage

TURN_MAX: Final = 200
"""Most messages that one subscriber is handed in one turn of the loop."""

log = structlog.get_logger(__name__)


class Subscriber:
    """One listener; `dropped` counts what its queue lost. `pause` keeps messages in the queue until `resume`."""

    def __init__(self, fanout: "Fanout", on_message: OnMessage, limit: int) -> None:
        self.dropped = 0
        self._fanout = fanout
        self._on_message = on_message
        self._limit = max(limit, 1)
        self._waiting: deque[Message] = deque()
        self._paused = False
        self._scheduled = False

    def offer(self, message: Message) -> None:
        """Queue a message, dropping the oldest when the queue is full."""
        if len(self._waiting) >= self._limit:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(message)
        self._schedule()

    def pause(self) -> None:
        """Hand over nothing until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Hand over again, what waits first."""
        self._paused = False
        self._schedule()

    async def close(self) -> None:
        """Take no more. A second call does nothing."""
        self.end()

    def end(self) -> None:
        """Take no more, at once."""
        self._fanout.remove(self)
        self._waiting.clear()

    def _schedule(self) -> None:
        if self._waiting and not self._paused and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._scheduled = False
        for _ in range(min(TURN_MAX, len(self._waiting))):
            if self._paused:
                return
            try:
                self._on_message(self._waiting.popleft())
            except Exception:  # a listener's mistake must not end the others' stream
                log.exception("a fanout listener failed")
        self._schedule()


class Fanout:
    """One exchange."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []

    def subscribe(self, on_message: OnMessage, limit: int) -> Subscriber:
        """Hear it from now on."""
        subscriber = Subscriber(self, on_message, limit)
        self._subscribers.append(subscriber)
        return subscriber

    def remove(self, subscriber: Subscriber) -> None:
        """Forget a subscriber; an unknown one is ignored."""
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)

    def send(self, message: Message) -> None:
        """Offer the message to every subscriber there is now."""
        for subscriber in self._subscribers:
            subscriber.offer(message)
