"""Messages that were given up: looked at, sent again, thrown away. Each act is an operation.

A job's message is there for who operates its namespace; what names none is an administrator's.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from dts_core import codec
from dts_core.brokers.base import Broker, DeadLetter, Message
from dts_core.errors import CodecError, DtsError, InvalidInput, NotFound
from dts_core.model import JobMessage
from dts_core.services.access import Caller
from dts_core.services.admin import AdminWriter
from dts_core.views import (
    SEQS_MAX,
    DeadLetterDetail,
    DeadLetterList,
    DeadLettersDone,
    DeadLetterView,
)

DEAD_LETTERS: Final = "dead_letters"
"""Collection of their operations."""
BODY_MAX: Final = 64 << 10
"""Longest body that is shown, in characters."""
HEADER_MAX: Final = 2_000
SCAN_PAGE: Final = 200
SCAN_PAGES: Final = 100
"""How far one request looks for the dead letters of a queue."""
TOLD_MAX: Final = 50
"""Most numbers that an operation names."""
_log = logging.getLogger(__name__)


class DeadLetters:
    """The broker's dead letters."""

    def __init__(self, broker: Broker, writer: AdminWriter) -> None:
        self._broker = broker
        self._writer = writer

    async def page(
        self, caller: Caller, *, limit: int, before: int, queue: str = ""
    ) -> DeadLetterList:
        """The newest first, without their bodies; `next` pages on as `before`.

        With `queue` only those that came from it; a page may then be short. Who is no administrator gets those alone
        that they operate; a page without any looked at SCAN_PAGES of them, and goes on with its `next`.
        """
        for _ in range(SCAN_PAGES):
            found = await self._broker.dead_letters(limit=limit, before=before)
            ours = await _operated(caller, found)
            if caller.is_admin or ours or not found:
                break
            before = found[-1].seq
        # Behind a foreign one a cursor would name it; behind the last of ours the others are looked at once more.
        last = found[-1:] if caller.is_admin else ours[-1:] or found[-1:]
        items = [DeadLetterView(**_seen(each)) for each in ours if queue in ("", each.queue)]
        return DeadLetterList(items=items, next=last[0].seq if last else 0)

    async def get(self, caller: Caller, seq: int) -> DeadLetterDetail:
        """One with its body as text.

        Raises:
            NotFound: There is none of that number that the caller operates.
        """
        found = await self._find(caller, [seq])
        if not found:
            raise _none(seq)
        letter, message = found[0], found[0].message
        kind, body = await asyncio.to_thread(_body, message)
        headers = {str(name): str(value)[:HEADER_MAX] for name, value in message.headers.items()}
        return DeadLetterDetail(
            **_seen(letter),
            correlation_id=message.correlation_id,
            reply_to=message.reply_to,
            priority=message.priority,
            published=_instant(message.timestamp),
            app_id=message.app_id,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            user_id=message.user_id,
            headers=headers,
            body=body[:BODY_MAX],
            body_kind=kind,
            truncated=len(body) > BODY_MAX,
        )

    async def send_again(self, caller: Caller, seqs: Sequence[int]) -> DeadLettersDone:
        """Put those that the caller operates back into the queues they came from; how many there were.

        Raises:
            QueueNotFound: One of their queues is gone; nothing is changed. The attempt is recorded.
        """
        return await self._act(caller, "send_again", seqs, self._broker.send_again)

    async def discard(
        self, caller: Caller, *, seqs: Sequence[int] = (), queue: str = ""
    ) -> DeadLettersDone:
        """Throw those that the caller operates away for good, by number or all of a queue.

        `more` says that some may be left.

        Raises:
            InvalidInput: Neither numbers nor a queue, or both.
        """
        if bool(seqs) == bool(queue):
            raise InvalidInput(
                "say which dead letters: their numbers, or the queue they came from.",
                fields={"seqs": "or queue", "queue": "or seqs"},
            )
        if seqs:
            return await self._act(caller, "discard", seqs, self._broker.discard_dead)
        ops = {"queue": [queue, None]}
        await self._writer.record(caller, DEAD_LETTERS, queue, "discard", ops)
        return await self._discard_queue(caller, queue)

    async def _discard_queue(self, caller: Caller, queue: str) -> DeadLettersDone:
        count = before = 0
        for _ in range(SCAN_PAGES):
            page = await self._broker.dead_letters(limit=SCAN_PAGE, before=before)
            if not page:
                return DeadLettersDone(count=count)
            before = page[-1].seq
            theirs = [each for each in page if each.queue == queue]
            if seqs := [each.seq for each in await _operated(caller, theirs)]:
                count += await self._broker.discard_dead(seqs)
        return DeadLettersDone(count=count, more=True)

    async def _act(
        self,
        caller: Caller,
        op_type: str,
        seqs: Sequence[int],
        act: Callable[[Sequence[int]], Coroutine[Any, Any, int]],
    ) -> DeadLettersDone:
        asked = sorted(set(seqs))[:SEQS_MAX]
        numbers = await self._allowed(caller, op_type, asked)
        if not numbers:
            return DeadLettersDone(count=0)
        ops = {"seqs": [numbers[:TOLD_MAX], None], "count": [len(numbers), None]}
        doc_id = _span(numbers)
        await self._writer.record(caller, DEAD_LETTERS, doc_id, op_type, ops)
        try:
            return DeadLettersDone(count=await act(numbers))
        except DtsError as error:
            await self._writer.refused(caller, DEAD_LETTERS, doc_id, op_type, error)
            raise

    async def _allowed(self, caller: Caller, op_type: str, asked: Sequence[int]) -> Sequence[int]:
        """Those numbers that the caller may act on; of the others the attempt is recorded."""
        if caller.is_admin:
            return asked
        numbers = sorted(each.seq for each in await self._find(caller, asked))
        if others := sorted(set(asked).difference(numbers)):
            span = _span(others)
            await self._writer.refused(caller, DEAD_LETTERS, span, op_type, _none(span))
        return numbers

    async def _find(self, caller: Caller, seqs: Sequence[int]) -> list[DeadLetter]:
        """Those of these numbers that there are and that the caller operates; reads at most once for each number."""
        left = sorted(set(seqs))
        found: list[DeadLetter] = []
        while left:
            limit = 1 if len(left) == 1 else min(SCAN_PAGE, left[-1] - left[0] + 1)
            page = await self._broker.dead_letters(limit=limit, before=left[-1] + 1)
            found += [each for each in page if each.seq in left]
            left = [each for each in left if page and each < page[-1].seq]
        return await _operated(caller, found)


def _span(seqs: Sequence[int]) -> str:
    """How operations call them, of ascending numbers."""
    return str(seqs[0]) if len(seqs) == 1 else f"{seqs[0]}-{seqs[-1]}"


def _none(which: int | str) -> NotFound:
    return NotFound(f"there is no dead letter {which}.", advice="See `dts dead list`.")


def _seen(letter: DeadLetter) -> dict[str, Any]:
    return {
        "seq": letter.seq,
        "queue": letter.queue,
        "died": letter.died,
        "reason": letter.reason,
        "type": letter.message.type,
        "message_id": letter.message.message_id,
        "size": len(letter.message.body),
    }


async def _operated(caller: Caller, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Those that the caller may see and act on; in a thread, for a body may be large."""
    if caller.is_admin:
        return list(letters)
    return await asyncio.to_thread(lambda: [each for each in letters if _operates(caller, each)])


def _operates(caller: Caller, letter: DeadLetter) -> bool:
    job = _job(letter.message)
    return job is not None and caller.operates_namespace(job.function.partition("/")[0])


def _job(message: Message) -> JobMessage | None:
    try:
        return codec.decode(message.body, JobMessage)
    except CodecError:
        return None


def _instant(timestamp: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(timestamp, UTC) if timestamp else None
    except (OverflowError, OSError, ValueError):
        return None


def _body(message: Message) -> tuple[str, str]:
    """What kind of body it is, and its text."""
    job = _job(message)
    if job is not None:
        told = msgspec.structs.asdict(job)
        told |= {"args": _json(job.args), "kwargs": _json(job.kwargs)}
        return "message", _pretty(told)
    return _unknown(message.body)


def _unknown(body: bytes) -> tuple[str, str]:
    try:
        return "message", _pretty(codec.decode(body, Any))
    except (CodecError, TypeError, ValueError) as error:
        _log.debug("a dead letter is no message of ours: %s", error)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes", body[: BODY_MAX // 2 + 1].hex()
    return "text", text


def _json(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text.decode("utf-8", "backslashreplace")


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
