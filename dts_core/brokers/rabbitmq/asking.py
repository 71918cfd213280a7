"""Questions and their answers over direct reply-to: one channel asks, and hears every answer."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from dts_core.brokers.base import Message
from dts_core.brokers.rabbitmq.plane import Plane, PlaneDelivery
from dts_core.brokers.rabbitmq.refusals import Refused, doubt_soon
from dts_core.brokers.rabbitmq.topology import REPLY_QUEUE
from dts_core.errors import BrokerUnavailable

TOKEN_BYTES: Final = 12


class Asker:
    """Asks over whichever plane there is; the broker wants question and reply on the same channel."""

    def __init__(self, in_doubt: Callable[[str], None]) -> None:
        self._in_doubt = in_doubt
        self._plane: Plane | None = None
        self._there = asyncio.Event()
        self._waiting: dict[str, asyncio.Future[Message]] = {}

    async def use(self, plane: Plane) -> None:
        """Ask over this plane from now on."""
        await plane.consume(REPLY_QUEUE, self._answered, prefetch=0, no_ack=True)
        self._plane = plane
        self._there.set()

    def stop(self) -> None:
        """The plane is lost, and every open question with it."""
        self._plane = None
        self._there.clear()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(BrokerUnavailable("the channel was lost before an answer."))
                future.exception()

    async def ask(
        self, exchange: str, routing_key: str, message: Message, *, timeout_seconds: float
    ) -> Message:
        """The answer, with the correlation id that the question has here.

        Raises:
            QueueNotFound: Nothing takes such questions.
            BrokerUnavailable: Nobody answered in time.
        """
        token = secrets.token_hex(TOKEN_BYTES)
        question = msgspec.structs.replace(message, reply_to=REPLY_QUEUE, correlation_id=token)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_seconds):
                plane = await self._unblocked()
                self._waiting[token] = future
                await plane.publish(
                    exchange, routing_key, question, persistent=False, mandatory=True
                )
                answer = await future
        except Refused:
            doubt_soon(lambda: plane is self._plane, self._in_doubt)
            raise
        except TimeoutError:
            raise BrokerUnavailable(f"nobody answered within {timeout_seconds:g} s.") from None
        finally:
            self._waiting.pop(token, None)
        return msgspec.structs.replace(answer, correlation_id=message.correlation_id)

    async def _unblocked(self) -> Plane:
        while self._plane is None:
            await self._there.wait()
        return self._plane

    def _answered(self, deliveries: list[PlaneDelivery]) -> None:
        for delivery in deliveries:
            future = self._waiting.get(delivery.message.correlation_id)
            if future is not None and not future.done():
                future.set_result(delivery.message)
