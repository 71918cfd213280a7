"""Routes of queues and dead letters."""

from typing import Annotated

import msgspec
from msgspec import Meta

from dts_core.api.endpoint import Call, NoQuery, Permission, Position, Routes
from dts_core.errors import NotFound
from dts_core.text import clean
from dts_core.views import (
    DeadLetterChoice,
    DeadLetterDetail,
    DeadLetterList,
    DeadLettersDone,
    DeadLetterSeqs,
    QueueChange,
    QueueList,
)

routes = Routes()


class DeadLettersQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`before` a seq pages on; `queue` keeps only those that came from it."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    before: Position = 0
    queue: Annotated[str, Meta(max_length=300)] = ""


@routes.add("GET", "/queues", Permission.READ, answer=QueueList)
async def list_queues(call: Call[NoQuery, None]) -> QueueList:
    """Every queue with its figures and rates."""
    return await call.services.queues.all()


@routes.add("POST", "/queues/{name}/pause", Permission.OPERATE, answer=QueueChange)
async def pause_queue(call: Call[NoQuery, None]) -> QueueChange:
    """Have a queue of jobs hand nothing out, also after restarts, until resume."""
    return await call.services.queues.pause(call.caller, call.path("name"))


@routes.add("POST", "/queues/{name}/resume", Permission.OPERATE, answer=QueueChange)
async def resume_queue(call: Call[NoQuery, None]) -> QueueChange:
    """Have it hand out again."""
    return await call.services.queues.resume(call.caller, call.path("name"))


@routes.add(
    "GET",
    "/queues/dead-letters",
    Permission.OPERATE,
    query=DeadLettersQuery,
    answer=DeadLetterList,
)
async def list_dead_letters(call: Call[DeadLettersQuery, None]) -> DeadLetterList:
    """Messages that were given up, newest first, without their bodies."""
    asked = call.query
    return await call.services.dead_letters.page(
        call.caller, limit=asked.limit, before=asked.before, queue=asked.queue
    )


@routes.add("GET", "/queues/dead-letters/{seq}", Permission.OPERATE, answer=DeadLetterDetail)
async def get_dead_letter(call: Call[NoQuery, None]) -> DeadLetterDetail:
    """One of them with its body as text."""
    return await call.services.dead_letters.get(call.caller, _seq(call.path("seq")))


@routes.add(
    "POST",
    "/queues/dead-letters/send-again",
    Permission.OPERATE,
    body=DeadLetterSeqs,
    answer=DeadLettersDone,
)
async def send_dead_letters_again(call: Call[NoQuery, DeadLetterSeqs]) -> DeadLettersDone:
    """Put dead letters back into the queues they came from."""
    return await call.services.dead_letters.send_again(call.caller, call.body.seqs)


@routes.add(
    "POST",
    "/queues/dead-letters/discard",
    Permission.OPERATE,
    body=DeadLetterChoice,
    answer=DeadLettersDone,
)
async def discard_dead_letters(call: Call[NoQuery, DeadLetterChoice]) -> DeadLettersDone:
    """Throw dead letters away for good: `seqs`, or all of a `queue`."""
    asked = call.body
    return await call.services.dead_letters.discard(call.caller, seqs=asked.seqs, queue=asked.queue)


def _seq(text: str) -> int:
    """The number in a path.

    Raises:
        NotFound: It is none that a dead letter could have.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise NotFound(f"there is no dead letter {clean(text, 40)}.")
    return int(text)
