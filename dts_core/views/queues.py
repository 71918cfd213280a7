"""Queues and dead letters."""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from dts_core.model import QueueStats
from dts_core.views.base import View

SEQS_MAX: Final = 500
"""Most dead letters of one request."""
Seq = Annotated[int, msgspec.Meta(ge=1, le=1 << 62)]


class QueueView(QueueStats, kw_only=True, frozen=True):
    """A queue with its rates, null while they are not known, and who paused it."""

    paused_by: str = ""
    paused_at: datetime | None = None


class QueueChange(View, frozen=True):
    """POST /queues/{name}/pause and resume: how it stands now, and whether that was this call's doing."""

    name: str
    paused: bool
    changed: bool


class QueueList(View, frozen=True):
    """GET /queues."""

    items: list[QueueView]


class DeadLetterView(View, frozen=True):
    """A message that was given up."""

    seq: int
    queue: str
    died: datetime
    reason: str
    type: str = ""
    message_id: str = ""
    size: int = 0


class DeadLetterDetail(DeadLetterView, frozen=True):
    """GET /queues/dead-letters/{seq}: everything, its body as text."""

    correlation_id: str = ""
    reply_to: str = ""
    priority: int = 0
    published: datetime | None = None
    app_id: str = ""
    content_type: str = ""
    content_encoding: str = ""
    user_id: str = ""
    headers: dict[str, str] = {}
    body: str = ""
    """JSON of what a message of ours says; otherwise its text, or its bytes in hex."""
    body_kind: str = ""
    """message | text | bytes"""
    truncated: bool = False


class DeadLetterSeqs(View, frozen=True, forbid_unknown_fields=True):
    """Which dead letters."""

    seqs: Annotated[list[Seq], msgspec.Meta(min_length=1, max_length=SEQS_MAX)]


class DeadLetterChoice(View, frozen=True, forbid_unknown_fields=True):
    """Which dead letters: by number, or all that came from one queue."""

    seqs: Annotated[list[Seq], msgspec.Meta(max_length=SEQS_MAX)] = []
    queue: Annotated[str, msgspec.Meta(max_length=300)] = ""


class DeadLettersDone(View, frozen=True):
    """How many dead letters were sent again or discarded; `more`: some are left, ask again."""

    count: int
    more: bool = False


class DeadLetterList(View, frozen=True):
    """GET /queues/dead-letters: newest first; `next` pages on as `before`, 0 at the end."""

    items: list[DeadLetterView]
    next: int = 0
