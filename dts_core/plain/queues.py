"""Queues and dead letters in words; for the command line and the console."""

from datetime import datetime
from typing import Final

from dts_core.plain import words
from dts_core.views import DeadLetterDetail, QueueView

UNKNOWN: Final = "?"
NOT_TOLD: Final = (
    "? RabbitMQ tells this by its management API alone: set [broker.rabbitmq] management"
)
"""Under a list with a queue that is partial."""
NO_DRAG: Final = 0.05
"""Rates below this are none."""


def rate(value: float | None) -> str:
    """Messages per second in a few characters; a dash while it is not known."""
    if value is None:
        return words.ABSENT
    if value < NO_DRAG:
        return "0"
    return f"{value:.1f}" if value < 9.95 else words.short_count(value)


def oldest(queue: QueueView) -> str:
    """How long the oldest message has waited; a question mark where the broker does not tell."""
    if not queue.ready:
        return words.ABSENT
    return words.age(queue.oldest_seconds) if queue.oldest_seconds else UNKNOWN


def unacked(queue: QueueView) -> str:
    """How many are delivered and not ended; a question mark where the broker does not tell."""
    return UNKNOWN if queue.partial else words.count(queue.unacked)


def state(queue: QueueView, now: datetime) -> str:
    """Whether it hands out, and if not, why."""
    if queue.paused:
        by = f" by {queue.paused_by}" if queue.paused_by else ""
        since = f" {words.since(queue.paused_at, now)}" if queue.paused_at else ""
        return f"paused{since}{by}"
    if queue.ready and not queue.consumers:
        return "nobody takes"
    return "open"


def facts(queue: QueueView, now: datetime) -> list[tuple[str, str]]:
    """Every figure with its unit: (what, value); the last one says why something is not told."""
    moves = (
        ("in", queue.published_rate, queue.published),
        ("out", queue.delivered_rate, queue.delivered),
        ("done", queue.acked_rate, queue.acked),
    )
    out = [
        ("queue", queue.name),
        ("state", state(queue, now)),
        ("ready", words.plural(queue.ready, "message")),
        ("unacked", unacked(queue)),
        ("oldest", oldest(queue)),
        ("consumers", words.count(queue.consumers)),
    ]
    for what, each, so_far in moves:
        total = "" if queue.partial else f", {words.count(so_far)} so far"
        out.append(
            (what, f"{rate(each)}/s{total}" if each is not None else f"not known yet{total}")
        )
    out.append(("dropped", words.plural(queue.dropped, "message")))
    out.append(("dead letters", words.count(queue.dead)))
    return [*out, ("", NOT_TOLD)] if queue.partial else out


def dead_facts(letter: DeadLetterDetail) -> list[tuple[str, str]]:
    """Everything but the body: (what, value); empty ones are left out."""
    facts = [
        ("number", str(letter.seq)),
        ("queue", letter.queue),
        ("died", words.instant(letter.died)),
        ("reason", letter.reason),
        ("type", letter.type),
        ("message", letter.message_id),
        ("correlation", letter.correlation_id),
        ("reply to", letter.reply_to),
        ("priority", str(letter.priority or "")),
        ("published", words.instant(letter.published) if letter.published else ""),
        ("from", " ".join(filter(None, (letter.app_id, letter.user_id)))),
        ("content", " ".join(filter(None, (letter.content_type, letter.content_encoding)))),
        *((f"header {name}", value) for name, value in sorted(letter.headers.items())),
        ("size", words.size(letter.size)),
    ]
    return [(name, value) for name, value in facts if value]
