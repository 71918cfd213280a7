"""What a call is: a Request, or a conversation of several, that a client on the loop or a blocking one can send.

A described call is a function that returns a Request, or a generator that yields Requests, is sent their answers, and
returns the value of the whole conversation.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from datetime import datetime
from functools import partial, wraps
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload
from urllib.parse import quote

import msgspec

from dts_core.errors import DtsError, InvalidInput

P = ParamSpec("P")
T = TypeVar("T")


class Request(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One HTTP request and what its answer is decoded as.

    `key` is the idempotency key: with it, and for GET, a request whose answer was lost is sent again.
    """

    method: str
    path: str
    answer: type[T]
    query: Mapping[str, str] = {}
    body: bytes | None = None
    key: str = ""
    timeout_seconds: float = 10.0

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.method == "GET" or bool(self.key)


class AsyncSender(Protocol):
    """Sends described calls on the loop."""

    async def send(self, request: Request[T]) -> T:
        """Send one request."""
        ...


class SyncSender(Protocol):
    """Sends described calls, blocking."""

    def send_blocking(self, request: Request[T]) -> T:
        """Send one request."""
        ...


class AsyncCalls:
    """Marks a class whose calls are coroutines."""

    def _sender(self) -> AsyncSender:
        raise AttributeError("_sender")


class SyncCalls:
    """Marks a class whose calls block."""

    def _sender(self) -> SyncSender:
        raise AttributeError("_sender")


Conversation = Generator[Request[Any], Any, T]


async def converse(sender: AsyncSender, talk: Conversation[T]) -> T:
    """Hold a conversation on the loop."""
    try:
        request = next(talk)
        while True:
            try:
                answer = await sender.send(request)
            except DtsError as error:
                request = talk.throw(error)
            else:
                request = talk.send(answer)
    except StopIteration as end:
        return cast(T, end.value)


def converse_blocking(sender: SyncSender, talk: Conversation[T]) -> T:
    """Hold a conversation, blocking."""
    try:
        request = next(talk)
        while True:
            try:
                answer = sender.send_blocking(request)
            except DtsError as error:
                request = talk.throw(error)
            else:
                request = talk.send(answer)
    except StopIteration as end:
        return cast(T, end.value)


class call(Generic[P, T]):  # noqa: N801 - reads as a decorator
    """A described call; on AsyncCalls it is a coroutine method, on SyncCalls a plain one."""

    def __init__(self, describe: Callable[P, Request[T] | Conversation[T]]) -> None:
        self._describe: Callable[..., Request[T] | Conversation[T]] = describe
        self.__doc__ = describe.__doc__

    def _described_for(self, instance: Any) -> Callable[..., Request[T] | Conversation[T]]:
        return self._describe

    @overload
    def __get__(
        self, instance: AsyncCalls, owner: type | None = None
    ) -> Callable[P, Awaitable[T]]: ...
    @overload
    def __get__(self, instance: SyncCalls, owner: type | None = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...

    def __get__(self, instance: AsyncCalls | SyncCalls | None, owner: type | None = None) -> Any:
        if instance is None:
            return self
        describe = self._described_for(instance)
        if isinstance(instance, AsyncCalls):
            sender = instance._sender()
            return wraps(self._describe)(lambda *a, **k: _ask(sender, describe(*a, **k)))
        blocking = instance._sender()
        return wraps(self._describe)(lambda *a, **k: _ask_blocking(blocking, describe(*a, **k)))


class collection_call(call[P, T]):  # noqa: N801 - reads as a decorator
    """A described call whose first argument is the `collection` of the object it is called on."""

    def __init__(self, describe: Callable[Concatenate[str, P], Request[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    def _described_for(self, instance: Any) -> Callable[..., Request[T] | Conversation[T]]:
        return partial(self._describe, instance.collection)


def _ask(sender: AsyncSender, described: Request[T] | Conversation[T]) -> Awaitable[T]:
    if isinstance(described, Request):
        return sender.send(described)
    return converse(sender, described)


def _ask_blocking(sender: SyncSender, described: Request[T] | Conversation[T]) -> T:
    if isinstance(described, Request):
        return sender.send_blocking(described)
    return converse_blocking(sender, described)


def as_text(value: Any) -> str:
    """A query parameter's text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return ",".join(str(item) for item in value)
    return str(value)


def segment(text: str) -> str:
    """An id as one segment of a path, whatever it holds.

    Raises:
        InvalidInput: Empty, or dots that would mean another path.
    """
    if text in ("", ".", ".."):
        raise InvalidInput(f"{text!r} is no id.", advice="Give one of those that are listed.")
    return quote(text, safe="", errors="backslashreplace")


def dry(dry_run: bool) -> Mapping[str, str]:
    """The query of a write that only says what would be done."""
    return {"dry_run": "true"} if dry_run else {}


def get(
    path: str,
    answer: type[T],
    query: Mapping[str, Any] | None = None,
    *,
    timeout_seconds: float = 10.0,
) -> Request[T]:
    """A GET; empty values of `query` are left out."""
    given = {
        name: as_text(value)
        for name, value in (query or {}).items()
        if value not in ("", None, (), 0)
    }
    return Request(
        method="GET", path=path, answer=answer, query=given, timeout_seconds=timeout_seconds
    )


def write(
    method: str,
    path: str,
    answer: type[T],
    body: Any = None,
    *,
    key: str = "",
    query: Mapping[str, str] | None = None,
    timeout_seconds: float = 30.0,
) -> Request[T]:
    """Any other request, with a JSON body when there is one."""
    return Request(
        method=method,
        path=path,
        answer=answer,
        body=None if body is None else _json(body),
        key=key,
        query=query or {},
        timeout_seconds=timeout_seconds,
    )


def _json(body: Any) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError as error:
        raise InvalidInput(
            "there is text in it that is no Unicode.", advice="Use UTF-8."
        ) from error
