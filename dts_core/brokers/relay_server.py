"""Serves launched workers on a broker elsewhere: each has a connection to it, made when the worker is welcome."""

from collections.abc import Awaitable, Callable

import structlog

from dts_core.brokers import frames
from dts_core.brokers.claiming import ClaimingBroker
from dts_core.brokers.link_policy import AgentRules, Pass
from dts_core.brokers.link_rules import Rules
from dts_core.brokers.link_session import Session, begin_launched
from dts_core.brokers.relay import Claims, RelayLink
from dts_core.brokers.wire import StreamReader, StreamWriter
from dts_core.errors import DtsError
from dts_core.settings import QueueNames

__all__ = ["RelayServer"]

log = structlog.get_logger(__name__)


class RelayServer:
    """The other `LinkServer.serve_launched`.

    Args:
        connect: Opens a worker's broker, under the names that the code knows.
        ping_seconds: How often a worker hears from here at least.
        lost_seconds: A worker is lost after so long a silence.
    """

    def __init__(
        self, connect: Callable[[Pass], Awaitable[ClaimingBroker]], *,
        ping_seconds: float = frames.PING_SECONDS, lost_seconds: float = frames.LOST_SECONDS,
    ) -> None:  # fmt: skip
        self._connect = connect
        self._ping_seconds = ping_seconds
        self._lost_seconds = lost_seconds

    async def serve_launched(
        self, reader: StreamReader, writer: StreamWriter, own: Pass, *,
        on_session: Callable[[Session], None] = lambda session: None,
        on_forbidden: Callable[[DtsError], None] = lambda error: None,
    ) -> str:  # fmt: skip
        """See LinkServer."""
        links: list[RelayLink] = []

        async def welcome(
            session: Session, hello: frames.Hello
        ) -> tuple[RelayLink, Rules, list[bool]]:
            begin_launched(session, hello, own, on_forbidden)
            broker = await self._connect(own)
            link = RelayLink(broker, own, session.tell_gone)
            links.append(link)
            on_session(session)
            return link, AgentRules(QueueNames(), own), []

        session = Session(
            reader, writer, welcome=welcome, on_refused=_on_refused,
            ping_seconds=self._ping_seconds, lost_seconds=self._lost_seconds,
        )  # fmt: skip
        try:
            why = await session.run(keep_claims=lambda: False, is_doubtful=lambda: False)
        finally:
            for link in links:
                link.lose("")  # nothing, where it has ended
                await link.ended()
            await session.closed()
        log.info("a launched worker's link ended", host=own.host, worker=own.worker, reason=why)
        return why


def _on_refused(session: Session, refused: Claims) -> None:
    if session.link is not None:
        log.warning("results were refused", host=session.link.host, claims=refused[:10])
