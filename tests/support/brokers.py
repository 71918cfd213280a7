"""The least broker for daemons under test: it remembers what was published and announced."""

from collections.abc import Sequence
from typing import Any

from dts_core import codec
from dts_core.brokers.base import EVENTS, Message, Outgoing, QueueSpec
from dts_core.model import Change, Changes


class RecordingBroker:
    """Keeps every publication and fanout; `failure` is raised by the next ones."""

    def __init__(self) -> None:
        self.published: list[Outgoing] = []
        self.fanouts: list[tuple[str, Message]] = []
        self.failure: Exception | None = None
        self.declared: set[str] = set()

    async def declare(self, spec: QueueSpec) -> None:
        assert spec.claimed, spec
        self.declared.add(spec.name)

    async def publish(self, items: Sequence[Outgoing]) -> None:
        if self.failure is not None:
            raise self.failure
        self.published += items

    async def fanout(self, exchange: str, message: Message) -> None:
        if self.failure is not None:
            raise self.failure
        self.fanouts.append((exchange, message))

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nobody here calls {name}")

    @property
    def changes(self) -> list[Change]:
        """What was announced on `events`, in order."""
        return [
            change
            for exchange, message in self.fanouts
            if exchange == EVENTS
            for change in codec.decode(message.body, Changes).items
        ]
