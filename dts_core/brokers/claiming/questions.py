"""The control side as a worker meets it on the queue `requests`."""

from collections.abc import Sequence
from typing import Final

from dts_core import codec
from dts_core.brokers.base import REQUESTS, Broker, Message
from dts_core.errors import CodecError
from dts_core.model import ClaimGrant, ClaimItem, ClaimsReply, ClaimsRequest, HeldReply, HeldRequest

ANSWER_SECONDS: Final = 5.0
"""Longest wait for an answer."""


class Questions:
    """Asks for claims, and for what became of them.

    Args:
        broker: Where the control side listens.
        host: Who asks.
        worker: Its name.
    """

    def __init__(self, broker: Broker, host: str, worker: str) -> None:
        self._broker = broker
        self._host = host
        self._worker = worker

    async def claims(self, items: list[ClaimItem]) -> list[ClaimGrant]:
        """One answer each, in order.

        Raises:
            BrokerError: None came; they may have been granted all the same.
            CodecError: It makes no sense.
        """
        asked = ClaimsRequest(self._host, self._worker, items)
        reply = codec.decode(await self._ask("ClaimsRequest", codec.encode(asked)), ClaimsReply)
        if len(reply.answers) != len(items):
            raise CodecError(f"{len(reply.answers)} answers to {len(items)} claims.")
        return reply.answers

    async def held(self, claims: Sequence[tuple[str, int]]) -> HeldReply:
        """Which of the claims are this worker's own, and which others stand for it.

        Raises:
            BrokerError: No answer.
            CodecError: It makes no sense.
        """
        asked = HeldRequest(self._host, self._worker, list(claims))
        reply = codec.decode(await self._ask("HeldRequest", codec.encode(asked)), HeldReply)
        if len(reply.mine) != len(claims):
            raise CodecError(f"{len(reply.mine)} answers to {len(claims)} claims.")
        return reply

    async def _ask(self, kind: str, body: bytes) -> bytes:
        message = Message(body, type=kind)
        answer = await self._broker.request(REQUESTS, message, timeout_seconds=ANSWER_SECONDS)
        return answer.body
