"""The clients, on the loop and blocking, from one description of the calls."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from dts_core.clients import calls, transport
from dts_core.clients.collections import (
    AdminFunctions,
    AsyncGroup,
    Collection,
    Functions,
    Namespaces,
    SyncAdminFunctions,
    SyncCollection,
    SyncFunctions,
    SyncGroup,
    SyncNamespaces,
    SyncUsers,
    SyncVhosts,
    Users,
    Vhosts,
)
from dts_core.clients.describe import AsyncCalls, AsyncSender, Request, SyncCalls, SyncSender, call
from dts_core.clients.mail import Mail, SyncMail
from dts_core.clients.ssh import Ssh, SyncSsh
from dts_core.clients.stream import StreamOptions, follow, follow_blocking
from dts_core.clients.tokens import OwnTokens, SyncOwnTokens, SyncUserTokens, UserTokens
from dts_core.clients.vault import SyncVault, Vault
from dts_core.views import StreamEvent

if TYPE_CHECKING:
    from dts_core.clients.shell import Shell

T = TypeVar("T")


class JobCalls:
    """What anybody may ask, as far as their role goes."""

    login = call(calls.login)
    logout = call(calls.logout)
    session = call(calls.session)
    change_password = call(calls.change_password)
    submit = call(calls.submit)
    submit_described = call(calls.submit_described)
    submit_many = call(calls.submit_many)
    job = call(calls.job)
    wait_for = call(calls.wait_for)
    jobs = call(calls.jobs)
    attempts = call(calls.attempts)
    counts = call(calls.counts)
    cancel = call(calls.cancel)
    again = call(calls.again)
    hosts = call(calls.hosts)
    host = call(calls.host)
    samples = call(calls.samples)
    alarms = call(calls.alarms)
    logs = call(calls.logs)
    queues = call(calls.queues)
    pause_queue = call(calls.pause_queue)
    resume_queue = call(calls.resume_queue)
    dead_letters = call(calls.dead_letters)
    dead_letter = call(calls.dead_letter)
    send_dead_again = call(calls.send_dead_again)
    discard_dead = call(calls.discard_dead)
    drain_host = call(calls.drain_host)
    undrain_host = call(calls.undrain_host)
    status = call(calls.status)


class OperationReads:
    """`admin.operations`: the audit."""

    list = call(calls.operations)
    get = call(calls.operation)
    difference = call(calls.operation_difference)
    verify = call(calls.verify_operations)
    checkpoint = call(calls.operations_checkpoint)


class Operations(OperationReads, AsyncGroup):
    """The audit, on the loop."""


class SyncOperations(OperationReads, SyncGroup):
    """The audit, blocking."""


class Client(JobCalls, AsyncCalls):
    """The API for everybody, on the loop; `async with` it, or `close` it.

    Args:
        url: Where the server is, http(s)://host:port.
        token: A token, from `login` or from an administrator.
        verify: A file of certificate authorities to trust instead of the system's.
        http_transport: For tests: an httpx transport in place of the network.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        verify: str = "",
        http_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = transport.address(url)
        self.token = token
        self.authorities = verify
        self._http = httpx.AsyncClient(
            base_url=self.url,
            verify=transport.trust(verify),
            transport=http_transport,
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=10),
            trust_env=False,
        )

    @cached_property
    def functions(self) -> Functions:
        """What there is to call."""
        return Functions(self)

    @cached_property
    def tokens(self) -> OwnTokens:
        """Access tokens of oneself."""
        return OwnTokens(self)

    def _sender(self) -> AsyncSender:
        return self

    async def send(self, request: Request[T]) -> T:
        """Send a described request, again where that is safe.

        Raises:
            ServerUnreachable: No answer after all tries.
            ApiError: The server refused.
        """
        tried = 0
        while True:
            began = time.monotonic()
            try:
                response = await self._http.send(transport.build(self._http, request, self.token))
                failure: httpx.HTTPError | httpx.Response = response
            except httpx.HTTPError as error:
                failure = error
            if not transport.may_retry(request, tried, failure, time.monotonic() - began):
                return transport.conclude(request, failure, self.url)
            await asyncio.sleep(transport.pause(tried))
            tried += 1

    def stream(self, topics: Sequence[str], **filters: Any) -> AsyncIterator[StreamEvent]:
        """Live changes of `topics` (jobs, hosts, alarms, queues, logs), filtered; for ever, resuming after cuts.

        Yields events of topic `_state` too, whose data is {"connected", "retry_seconds", "why"}, and `reset` when so
        much was missed that lists must be fetched again.
        """
        return follow(
            self._http, lambda: self.token, StreamOptions(self.url, tuple(topics), filters)
        )

    def shell(
        self, host: str, *, term: str = "xterm", columns: int = 80, rows: int = 24
    ) -> "AbstractAsyncContextManager[Shell]":
        """A shell on a virtual host, for the length of a block; of this client alone, not of the blocking one.

        Raises:
            ApiError: The server refuses.
            ServerUnreachable: No answer.
        """
        from dts_core.clients.shell import ShellAsked, open_shell  # few need a WebSocket

        asked = ShellAsked(host=host, term=term, columns=columns, rows=rows)
        return open_shell(self.url, self.token, self.authorities, asked)

    async def close(self) -> None:
        """Close the connections. A second call does nothing."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class AdminClient(Client):
    """The API for administrators, on the loop."""

    @cached_property
    def functions(self) -> AdminFunctions:
        """Functions and their changes."""
        return AdminFunctions(self)

    schema = call(calls.schema)

    @cached_property
    def users(self) -> Users:
        """Who may ask."""
        return Users(self)

    @cached_property
    def namespaces(self) -> Namespaces:
        """What owns functions."""
        return Namespaces(self)

    @cached_property
    def vhosts(self) -> Vhosts:
        """Machines reached by SSH."""
        return Vhosts(self)

    @cached_property
    def user_tokens(self) -> UserTokens:
        """Access tokens of all users."""
        return UserTokens(self)

    @cached_property
    def mail(self) -> Mail:
        """Whether mail works."""
        return Mail(self)

    @cached_property
    def ssh(self) -> Ssh:
        """Commands and functions on many hosts."""
        return Ssh(self)

    @cached_property
    def vault(self) -> Vault:
        """Keys of the secrets in the store."""
        return Vault(self)

    def collection(self, name: str) -> Collection:
        """An admin collection by its name, its documents as maps."""
        return Collection(self, name)

    @cached_property
    def operations(self) -> Operations:
        """The audit."""
        return Operations(self)


class SyncClient(JobCalls, SyncCalls):
    """The API for everybody, blocking; `with` it, or `close` it. Arguments as for Client."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        verify: str = "",
        http_transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = transport.address(url)
        self.token = token
        self._http = httpx.Client(
            base_url=self.url,
            verify=transport.trust(verify),
            transport=http_transport,
            trust_env=False,
        )

    @cached_property
    def functions(self) -> SyncFunctions:
        """What there is to call."""
        return SyncFunctions(self)

    @cached_property
    def tokens(self) -> SyncOwnTokens:
        """Access tokens of oneself."""
        return SyncOwnTokens(self)

    def _sender(self) -> SyncSender:
        return self

    def send_blocking(self, request: Request[T]) -> T:
        """Send a described request, again where that is safe. Raises as `Client.send`."""
        tried = 0
        while True:
            began = time.monotonic()
            try:
                response = self._http.send(transport.build(self._http, request, self.token))
                failure: httpx.HTTPError | httpx.Response = response
            except httpx.HTTPError as error:
                failure = error
            if not transport.may_retry(request, tried, failure, time.monotonic() - began):
                return transport.conclude(request, failure, self.url)
            time.sleep(transport.pause(tried))
            tried += 1

    def stream(self, topics: Sequence[str], **filters: Any) -> Iterator[StreamEvent]:
        """As `Client.stream`, blocking between events."""
        return follow_blocking(
            self._http, lambda: self.token, StreamOptions(self.url, tuple(topics), filters)
        )

    def close(self) -> None:
        """Close the connections. A second call does nothing."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class SyncAdminClient(SyncClient):
    """The API for administrators, blocking."""

    @cached_property
    def functions(self) -> SyncAdminFunctions:
        """Functions and their changes."""
        return SyncAdminFunctions(self)

    schema = call(calls.schema)

    @cached_property
    def users(self) -> SyncUsers:
        """Who may ask."""
        return SyncUsers(self)

    @cached_property
    def namespaces(self) -> SyncNamespaces:
        """What owns functions."""
        return SyncNamespaces(self)

    @cached_property
    def vhosts(self) -> SyncVhosts:
        """Machines reached by SSH."""
        return SyncVhosts(self)

    @cached_property
    def user_tokens(self) -> SyncUserTokens:
        """Access tokens of all users."""
        return SyncUserTokens(self)

    @cached_property
    def mail(self) -> SyncMail:
        """Whether mail works."""
        return SyncMail(self)

    @cached_property
    def ssh(self) -> SyncSsh:
        """Commands and functions on many hosts."""
        return SyncSsh(self)

    @cached_property
    def vault(self) -> SyncVault:
        """Keys of the secrets in the store."""
        return SyncVault(self)

    def collection(self, name: str) -> SyncCollection:
        """An admin collection by its name, its documents as maps."""
        return SyncCollection(self, name)

    @cached_property
    def operations(self) -> SyncOperations:
        """The audit."""
        return SyncOperations(self)
