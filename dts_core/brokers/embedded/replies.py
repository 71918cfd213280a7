"""Those in this process who asked and wait for an answer."""

import asyncio
import secrets
from typing import Final

import msgspec

from dts_core.brokers.base import Message, Outgoing
from dts_core.errors import BrokerUnavailable

REPLY: Final = "reply."
"""Prefix of the names that answers go to."""


def is_reply(queue: str) -> bool:
    """Whether messages to this name are answers."""
    return queue.startswith(REPLY)


class Replies:
    """Brings answers to those who asked; one that nobody waits for any more is forgotten."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[str, asyncio.Future[Message]]] = {}

    def expect(self, message: Message) -> tuple[Message, asyncio.Future[Message]]:
        """The question as it is published, and what will have its answer; `forget` its `reply_to` in the end."""
        name = REPLY + secrets.token_hex(12)
        correlation = message.correlation_id or name
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[name] = (correlation, future)
        question = msgspec.structs.replace(message, reply_to=name, correlation_id=correlation)
        return question, future

    def forget(self, name: str) -> None:
        """Nobody waits for the answer to this name any more."""
        self._waiting.pop(name, None)

    def answer(self, item: Outgoing) -> None:
        """Hand an answer to whoever asked, when it is to that question."""
        correlation, future = self._waiting.get(item.queue, ("", None))
        if future is not None and not future.done() and item.message.correlation_id == correlation:
            future.set_result(item.message)

    def close(self) -> None:
        """Whoever still waits hears that the broker is closing."""
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(BrokerUnavailable("the broker is closing."))
