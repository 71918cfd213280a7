"""Messages that were given up: looked at, sent again, thrown away. Each act is an operation."""

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
_HIDDEN: Final = "It belongs to a namespace that you are no member of."
_log = logging.getLogger(__name__)


class DeadLetters:
    """The broker's dead letters."""

    def __init__(self, broker: Broker, writer: AdminWriter) -> None:
        self._broker = broker
        self._writer = writer

    async def page(
        self, caller: Caller, *, limit: int, before: int, queue: str = ""
    ) -> DeadLetterList:
        """The newest first, without their bodies; `before` a seq pages on until a page is empty.

        With `queue` only those that came from it; a page may then be short. Jobs that the caller does not see have no
        id here.
        """
        found = await self._broker.dead_letters(limit=limit, before=before)
        wanted = [each for each in found if queue in ("", each.queue)]
        items = await asyncio.to_thread(
            lambda: [DeadLetterView(**_seen(caller, each)) for each in wanted]
        )
        return DeadLetterList(items=items, next=found[-1].seq if found else 0)

    async def get(self, caller: Caller, seq: int) -> DeadLetterDetail:
        """One with its body as text; of a job only when the caller sees its namespace, of anything else an admin.

        Raises:
            NotFound: There is none of that number.
        """
        found = await self._broker.dead_letters(limit=1, before=seq + 1)
        if not found or found[0].seq != seq:
            raise NotFound(f"there is no dead letter {seq}.", advice="See `dts dead list`.")
        letter, message = found[0], found[0].message
        kind, body = await asyncio.to_thread(_body, caller, message)
        headers = {str(name): str(value)[:HEADER_MAX] for name, value in message.headers.items()}
        return DeadLetterDetail(
            **_seen(caller, letter),
            correlation_id=message.correlation_id if kind != "hidden" else "",
            reply_to=message.reply_to if kind != "hidden" else "",
            priority=message.priority,
            published=_instant(message.timestamp),
            app_id=message.app_id,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            user_id=message.user_id,
            headers=headers if kind != "hidden" else {},
            body=body[:BODY_MAX],
            body_kind=kind,
            truncated=len(body) > BODY_MAX,
        )

    async def send_again(self, caller: Caller, seqs: Sequence[int]) -> DeadLettersDone:
        """Put them back into the queues they came from; how many there were.

        Raises:
            QueueNotFound: One of their queues is gone; nothing is changed. The attempt is recorded.
        """
        return await self._act(caller, "send_again", seqs, self._broker.send_again)

    async def discard(
        self, caller: Caller, *, seqs: Sequence[int] = (), queue: str = ""
    ) -> DeadLettersDone:
        """Throw them away for good, by number or all of a queue; `more` says that some may be left.

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
        return await self._discard_queue(queue)

    async def _discard_queue(self, queue: str) -> DeadLettersDone:
        count = before = 0
        for _ in range(SCAN_PAGES):
            page = await self._broker.dead_letters(limit=SCAN_PAGE, before=before)
            if not page:
                return DeadLettersDone(count=count)
            before = page[-1].seq
            if seqs := [each.seq for each in page if each.queue == queue]:
                count += await self._broker.discard_dead(seqs)
        return DeadLettersDone(count=count, more=True)

    async def _act(
        self,
        caller: Caller,
        op_type: str,
        seqs: Sequence[int],
        act: Callable[[Sequence[int]], Coroutine[Any, Any, int]],
    ) -> DeadLettersDone:
        numbers = sorted(set(seqs))[:SEQS_MAX]
        doc_id = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
        ops = {"seqs": [numbers[:TOLD_MAX], None], "count": [len(numbers), None]}
        await self._writer.record(caller, DEAD_LETTERS, doc_id, op_type, ops)
        try:
            return DeadLettersDone(count=await act(numbers))
        except DtsError as error:
            await self._writer.refused(caller, DEAD_LETTERS, doc_id, op_type, error)
            raise


def _seen(caller: Caller, letter: DeadLetter) -> dict[str, Any]:
    return {
        "seq": letter.seq,
        "queue": letter.queue,
        "died": letter.died,
        "reason": letter.reason,
        "type": letter.message.type,
        "message_id": letter.message.message_id if _may_know(caller, letter) else "",
        "size": len(letter.message.body),
    }


def _may_know(caller: Caller, letter: DeadLetter) -> bool:
    """Whether the id of the job, if it is one, exists for the caller."""
    if caller.is_admin:
        return True
    job = _job(letter.message)
    if job is None:
        return letter.message.type != JobMessage.__name__
    return caller.sees_namespace(job.function.partition("/")[0])


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


def _body(caller: Caller, message: Message) -> tuple[str, str]:
    """What kind of body it is, and its text."""
    job = _job(message)
    if job is not None:
        if not caller.sees_namespace(job.function.partition("/")[0]):
            return "hidden", _HIDDEN
        told = msgspec.structs.asdict(job)
        told |= {"args": _json(job.args), "kwargs": _json(job.kwargs)}
        return "message", _pretty(told)
    if not caller.is_admin:
        return "hidden", "Only an administrator sees what is not a job."
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
