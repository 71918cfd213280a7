"""The owner's side of links: a Unix socket for local processes, and any other stream that is handed over."""

import asyncio
import os
import socket
import struct
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog

from dts_core.brokers import frames
from dts_core.brokers.embedded import EmbeddedBroker, Link
from dts_core.brokers.link_policy import AgentRules, Pass
from dts_core.brokers.link_rules import Rules, rules_for
from dts_core.brokers.link_session import Session, begin_launched
from dts_core.brokers.wire import StreamReader, StreamWriter
from dts_core.errors import BrokerUnavailable, ConfigError, DtsError, Forbidden
from dts_core.names import is_host
from dts_core.settings import QueueNames
from dts_core.text import one_line

LINKS_MAX: Final = 2_000
BACKLOG: Final = 1024
"""Connections that may wait for us: when it is full, a new one is turned away at once."""
SOCKET_PATH_MAX: Final = 100
"""Longest path of a Unix socket that every system takes, in bytes."""
CLOSE_SECONDS: Final = 2.0
_SYSTEM: str = sys.platform

OnRefused = Callable[[str, str, list[tuple[str, int]]], None]
"""host, worker, (job, epoch) of each result that was refused."""

log = structlog.get_logger(__name__)


class LinkServer:
    """Serves links to one embedded broker. `start` opens the socket, `close` ends everything.

    A link that is lost gives its deliveries back and is charged a loss for each claim. When the server itself closes,
    the claims stay with their workers, which come back to the next owner and say what they hold.

    Args:
        broker: Whose queues.
        socket_path: The socket, made with mode 0600; None: only `serve_stream`.
        role: What a client of the socket may do: `worker` or `admin`.
        names: What the queues are called.
        on_refused: Told of results for claims that the link did not hold; they are not published.
        doubted_pause: The number of a pause of this process that was noticed lately, 0 when there was none. A link
            that ends after one that it lived through is charged nothing at once: its leases decide.
        ping_seconds: How often a client hears from here at least.
        lost_seconds: A client is lost after so long a silence.
    """

    def __init__(
        self, broker: EmbeddedBroker, socket_path: Path | None = None, *, role: str = "worker",
        names: QueueNames | None = None, on_refused: OnRefused | None = None,
        doubted_pause: Callable[[], int] = lambda: 0,
        ping_seconds: float = frames.PING_SECONDS, lost_seconds: float = frames.LOST_SECONDS,
    ) -> None:  # fmt: skip
        self._broker = broker
        self._path = socket_path
        self._role = role
        self._names = names or QueueNames()
        self._tell_refused = on_refused
        self._doubted_pause = doubted_pause
        self._ping_seconds = ping_seconds
        self._lost_seconds = lost_seconds
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sessions: set[Session] = set()
        self._newest: OrderedDict[str, int] = OrderedDict()
        """Instance of a client -> its newest stream."""
        self._is_closing = False
        self.refused_results = 0
        """Results refused since the start."""
        self.refused_links = 0
        """Connections refused since the start: another user's process, or too many."""

    @property
    def links(self) -> list[tuple[str, str]]:
        """(host, worker) of every link there is now."""
        return [(s.link.host, s.link.worker) for s in self._sessions if s.link is not None]

    async def start(self) -> None:
        """Open the socket; a left-over one is replaced, since the data folder has one owner.

        Raises:
            ConfigError: The path is too long, or the folder does not let us.
        """
        if self._path is None:
            return
        listener = _listen(self._path)
        self._server = await asyncio.start_unix_server(
            self._accept, sock=listener, limit=frames.READ_SIZE, backlog=BACKLOG
        )

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        uid = peer_uid(writer.get_extra_info("socket"))
        if uid not in (None, 0, os.getuid()) or len(self._sessions) >= LINKS_MAX:
            self.refused_links += 1
            log.warning("a link was refused", uid=uid, links=len(self._sessions))
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(
            self.serve_stream(reader, writer), name="link"
        )
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a link failed", exc_info=error)

    async def serve_stream(
        self, reader: StreamReader, writer: StreamWriter, *, role: str = "", host: str = ""
    ) -> str:
        """Serve one client on any byte stream until it ends; the stream is closed then. Returns why it ended.

        Args:
            reader: Bytes from the client.
            writer: Bytes to the client.
            role: `worker` or `admin`; empty: the server's own.
            host: The host that the client must be, where the stream proves it; empty: what it says.
        """

        async def welcome(session: Session, hello: frames.Hello) -> tuple[Link, Rules, list[bool]]:
            return await self._welcome(session, hello, role or self._role, host)

        session = Session(
            reader, writer, welcome=welcome, on_refused=self._on_refused,
            ping_seconds=self._ping_seconds, lost_seconds=self._lost_seconds,
        )  # fmt: skip
        return await self._run(session)

    async def serve_launched(
        self, reader: StreamReader, writer: StreamWriter, own: Pass, *,
        on_session: Callable[[Session], None] = lambda session: None,
        on_forbidden: Callable[[DtsError], None] = lambda error: None,
    ) -> str:  # fmt: skip
        """Serve a worker that this process has launched, on the only stream that it has; see `link_policy`.

        Args:
            reader: Bytes from it.
            writer: Bytes to it.
            own: Who it is.
            on_session: Given what serves it, once it is welcome.
            on_forbidden: Told what it may not do and tried.

        Returns:
            Why it ended.
        """

        async def welcome(session: Session, hello: frames.Hello) -> tuple[Link, Rules, list[bool]]:
            begin_launched(session, hello, own, on_forbidden)
            link = self._broker.attach(host=own.host, worker=own.worker)
            on_session(session)
            return link, AgentRules(self._names, own), []

        session = Session(
            reader, writer, welcome=welcome, on_refused=self._on_refused,
            ping_seconds=self._ping_seconds, lost_seconds=self._lost_seconds,
        )  # fmt: skip
        return await self._run(session)

    async def _run(self, session: Session) -> str:
        """Serve one client to its end."""
        self._sessions.add(session)
        before = self._doubted_pause()
        try:
            why = await session.run(
                keep_claims=lambda: self._is_closing,
                is_doubtful=lambda: self._doubted_pause() not in (0, before),
            )
        finally:
            self._sessions.discard(session)
            await session.closed()
        if session.link is not None:
            log.info("a link ended", host=session.link.host, worker=session.link.worker, reason=why)
        return why

    async def _welcome(
        self, session: Session, hello: frames.Hello, role: str, host: str
    ) -> tuple[Link, Rules, list[bool]]:
        if host and hello.host != host:
            raise Forbidden("this stream belongs to another host.")
        if role == "worker" and (not is_host(hello.host) or not hello.worker):
            raise Forbidden("a worker says its host and its name.")
        rules = rules_for(role, self._names, hello.host)
        mine = await self._broker.still_held(hello.worker, hello.holding)
        unheld = []
        if (
            hello.stream > 1
        ):  # it was here before: what was granted to it then may have been lost on the way
            unheld = await self._broker.unheld(hello.worker, hello.holding)
        self._check_newest(session, hello)
        own = [claim for claim, is_mine in zip(hello.holding, mine, strict=True) if is_mine]
        session.instance = hello.instance
        link = self._broker.attach(host=hello.host, worker=hello.worker)
        self._supersede(session, hello, frozenset(job for job, _ in own))
        if own:
            self._broker.adopt(link, own)
        self._broker.reclaim(unheld, results=self._names.results)
        log.info(
            "a link began", host=one_line(hello.host), worker=one_line(hello.worker),
            held=len(hello.holding), still_held=len(own),
        )  # fmt: skip
        return link, rules, mine

    def _check_newest(self, session: Session, hello: frames.Hello) -> None:
        """Streams that a client gave up while this process stood still are all there at once when it goes on.

        Raises:
            BrokerUnavailable: This one was given up.
        """
        if not session.wire.is_open or hello.stream < self._newest.get(hello.instance, 0):
            raise BrokerUnavailable("this stream was given up.")
        if hello.instance:
            self._newest[hello.instance] = hello.stream
            self._newest.move_to_end(hello.instance)
            if len(self._newest) > 2 * LINKS_MAX:
                self._newest.popitem(last=False)

    def _supersede(self, session: Session, hello: frames.Hello, keep: frozenset[str]) -> None:
        """A worker that comes back ends its former link, even when that one is not known to be gone yet."""
        for other in list(self._sessions):
            former = other.link
            if other is session or former is None or not hello.worker:
                continue
            if (former.host, former.worker) == (hello.host, hello.worker):
                if hello.instance and other.instance == hello.instance:
                    former.leave()
                else:  # another process under this name: what the former one ran ended with it
                    former.lose("its worker came back on another link", keep)
                other.wire.close()

    def _on_refused(self, session: Session, refused: list[tuple[str, int]]) -> None:
        self.refused_results += len(refused)
        if session.link is None:
            return
        host, worker = session.link.host, session.link.worker
        log.warning("results were refused", host=host, worker=worker, claims=refused[:10])
        if self._tell_refused is not None:
            self._tell_refused(host, worker, refused)

    async def close(self) -> None:
        """Tell the clients, end every link and remove the socket. A second call does nothing."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._server is not None:
            self._server.close()
        for session in list(self._sessions):
            session.leave()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._path is not None:
            await asyncio.to_thread(self._path.unlink, missing_ok=True)


def _listen(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise ConfigError(
            f"the path of the socket {path} is longer than {SOCKET_PATH_MAX} bytes.",
            advice="Use a data folder with a shorter path.",
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError(f"the socket {path} cannot be made: {error.strerror}.") from error
    finally:
        os.umask(mask)
    return listener


def peer_uid(connection: Any) -> int | None:
    """The user of the process at the other end, or None where the system does not say (the mode protects alone)."""
    try:
        if _SYSTEM == "linux":
            size = struct.calcsize("3i")
            data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            return int(struct.unpack("3i", data)[1])
        if _SYSTEM == "darwin":
            data = connection.getsockopt(0, 1, 8)  # SOL_LOCAL, LOCAL_PEERCRED: version, uid
            return int(struct.unpack("2I", data)[1])
    except (OSError, AttributeError, struct.error):
        return -1
    return None
