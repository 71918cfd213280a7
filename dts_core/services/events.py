"""What changed, told within this process at once and to the other servers by the fanout `events`."""

import logging
from collections.abc import Callable, Sequence

from dts_core import codec
from dts_core.brokers.base import EVENTS, Broker, Message, Subscription
from dts_core.errors import BrokerError, CodecError
from dts_core.model import Change, Changes
from dts_core.names import new_id
from dts_core.services.counters import Counters

Listener = Callable[[Sequence[Change]], None]
CHUNK = 1000
"""Most changes in one message."""
_log = logging.getLogger(__name__)


class EventBus:
    """One server's end of the fanout `events`.

    Listeners are called on the loop, must return at once and must not raise. What this server publishes reaches its own
    listeners directly; its own messages are passed over when the fanout brings them back.
    """

    def __init__(self, broker: Broker, counters: Counters) -> None:
        self._broker = broker
        self._counters = counters
        self._origin = new_id()
        self._listeners: list[Listener] = []
        self._subscription: Subscription | None = None

    @property
    def dropped(self) -> int:
        """How many messages of other parts this server's queue lost."""
        return self._subscription.dropped if self._subscription is not None else 0

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every batch of changes from now on."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Begin to hear the other parts."""
        self._subscription = await self._broker.subscribe(EVENTS, self._on_message, limit=10_000)

    async def stop(self) -> None:
        """Hear nothing any more. A second call does nothing."""
        if self._subscription is not None:
            await self._subscription.close()

    async def publish(self, changes: Sequence[Change]) -> None:
        """Tell everybody. The change is stored already: a broker that is away only delays those who listen."""
        if not changes:
            return
        self._tell(changes)
        for start in range(0, len(changes), CHUNK):
            chunk = Changes(items=list(changes[start : start + CHUNK]))
            message = Message(
                body=codec.encode(chunk), type="Changes", headers={"origin": self._origin}
            )
            try:
                await self._broker.fanout(EVENTS, message)
            except BrokerError as error:
                self._counters.add("dts_events_unpublished_total", len(chunk.items))
                _log.warning("a change could not be announced: %s", error)

    def _on_message(self, message: Message) -> None:
        if message.headers.get("origin") == self._origin:
            return
        try:
            changes = codec.decode(message.body, Changes)
        except CodecError as error:
            self._counters.add("dts_events_undecodable_total")
            _log.warning("an announcement cannot be read: %s", error)
            return
        self._tell(changes.items)

    def _tell(self, changes: Sequence[Change]) -> None:
        for listener in self._listeners:
            listener(changes)
