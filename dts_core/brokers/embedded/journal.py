"""The broker's statements on its two tables. Everything here runs in the database's threads, never on the loop."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from dts_core.brokers.base import DeadLetter, Message
from dts_core.errors import CodecError
from dts_core.sqlite import Connection

DEAD_IN_MEMORY_QUEUES_MAX: Final = 1_000
"""Most dead letters kept of one bounded queue: a sender of garbage cannot fill the disk."""
DEAD_PAGE_BYTES: Final = 4 << 20
"""Most bytes of the messages in one page of dead letters, so that it fits one frame of a link."""
_OF_SEQS: Final = "seq IN (SELECT value FROM json_each(?))"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Message)

NewRow = tuple[str, int, int, bytes]
"""queue, priority, published (microseconds), message"""
Row = tuple[int, int, int, bytes]
"""seq, deliveries, published (microseconds), message"""


def pack(message: Message) -> bytes:
    """A message as its row keeps it."""
    return _encoder.encode(message)


def unpack(blob: bytes) -> Message:
    """A message from its row.

    Raises:
        CodecError: The row was not written by this program.
    """
    try:
        return _decoder.decode(blob)
    except msgspec.DecodeError as error:
        raise CodecError(f"a stored message cannot be read: {error}") from error


def next_seq(connection: Connection) -> int:
    """The first number that no message ever had."""
    found: Any = connection.execute(
        "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'messages'), 0),"
        " coalesce((SELECT max(seq) FROM messages), 0))"
    ).fetchone()
    return int(found[0]) + 1


def standing(connection: Connection) -> list[tuple[str, int, int, int]]:
    """(queue, priority, messages, oldest publication in microseconds)."""
    found: list[tuple[str, int, int, int]] = []
    groups: list[Any] = connection.execute(
        "SELECT queue, priority, count(*), min(seq) FROM messages GROUP BY queue, priority"
    ).fetchall()
    for queue, priority, count, first in groups:
        row: Any = connection.execute(
            "SELECT published FROM messages WHERE seq = ?", (first,)
        ).fetchone()
        found.append((str(queue), int(priority), int(count), int(row[0])))
    return found


def dead_counts(connection: Connection) -> list[tuple[str, int]]:
    """(queue, dead letters kept)."""
    rows: Any = connection.execute("SELECT queue, count(*) FROM dead_letters GROUP BY queue")
    return [(str(queue), int(count)) for queue, count in rows]


def insert(connection: Connection, first: int, rows: Sequence[NewRow]) -> None:
    """Add messages with the numbers from `first` on."""
    connection.executemany(
        "INSERT INTO messages(seq, queue, priority, published, message) VALUES(?, ?, ?, ?, ?)",
        ((first + index, *row) for index, row in enumerate(rows)),
    )


def read_lane(
    connection: Connection, queue: str, priority: int, above: int, limit: int
) -> list[Row]:
    """The next messages of a lane, by seq."""
    rows: list[Any] = connection.execute(
        "SELECT seq, deliveries, published, message FROM messages"
        " WHERE queue = ? AND priority = ? AND seq > ? ORDER BY seq LIMIT ?",
        (queue, priority, above, limit),
    ).fetchall()
    return rows


def runs(seqs: Sequence[int]) -> list[tuple[int, int]]:
    """Distinct numbers, in any order, as (first, last) of unbroken runs."""
    found: list[tuple[int, int]] = []
    ordered = sorted(seqs)
    first = previous = ordered[0]
    for seq in ordered[1:]:
        if seq != previous + 1:
            found.append((first, previous))
            first = seq
        previous = seq
    found.append((first, previous))
    return found


def delete(connection: Connection, seqs: Sequence[int]) -> None:
    """Remove messages; neighbours in one statement, since acks mostly come in order."""
    connection.executemany("DELETE FROM messages WHERE seq BETWEEN ? AND ?", runs(seqs))


def set_deliveries(connection: Connection, counts: Sequence[tuple[int, int]]) -> None:
    """Keep how often messages came back: (deliveries, seq)."""
    connection.executemany("UPDATE messages SET deliveries = ? WHERE seq = ?", counts)


def bury(
    connection: Connection,
    queue: str,
    died: int,
    letters: Sequence[tuple[int, str, bytes]],
    durable: bool,
) -> None:
    """Move messages, (seq, reason, message), to the dead letters; those of memory queues are bounded."""
    connection.executemany(
        "INSERT INTO dead_letters(queue, died, reason, message) VALUES(?, ?, ?, ?)",
        ((queue, died, reason, blob) for _, reason, blob in letters),
    )
    if durable:
        delete(connection, [seq for seq, _, _ in letters])
        return
    connection.execute(
        "DELETE FROM dead_letters WHERE queue = ?1 AND seq <= (SELECT seq FROM dead_letters WHERE queue = ?1"
        " ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        (queue, DEAD_IN_MEMORY_QUEUES_MAX),
    )


def dead_letters(connection: Connection, limit: int, before: int) -> list[DeadLetter]:
    """The newest first, at most `limit`; no more than DEAD_PAGE_BYTES of messages, but always one."""
    rows: Any = connection.execute(
        "SELECT seq, queue, died, reason, message FROM dead_letters"
        " WHERE ?1 = 0 OR seq < ?1 ORDER BY seq DESC LIMIT ?2",
        (before, limit),
    )
    return _letters(rows)


def dead_by_seq(connection: Connection, seqs: Sequence[int], after: int) -> list[DeadLetter]:
    """Those of these numbers that exist above `after`, by seq; as many as fit a page's bytes."""
    rows: Any = connection.execute(
        "SELECT seq, queue, died, reason, message FROM dead_letters"
        f" WHERE seq > ? AND {_OF_SEQS} ORDER BY seq",
        (after, _numbers(seqs)),
    )
    return _letters(rows)


def dead_queues(connection: Connection, seqs: Sequence[int]) -> list[str]:
    """The queues that these dead letters came from."""
    rows: Any = connection.execute(
        f"SELECT DISTINCT queue FROM dead_letters WHERE {_OF_SEQS}", (_numbers(seqs),)
    )
    return [str(queue) for (queue,) in rows]


def _numbers(seqs: Sequence[int]) -> str:
    return msgspec.json.encode(list(seqs)).decode()


def _letters(rows: Iterable[tuple[int, str, int, str, bytes]]) -> list[DeadLetter]:
    letters: list[DeadLetter] = []
    size = 0
    for seq, queue, died, reason, blob in rows:
        size += len(blob)
        if letters and size > DEAD_PAGE_BYTES:
            break
        instant = datetime.fromtimestamp(died / 1e6, UTC)
        letters.append(DeadLetter(seq, queue, instant, reason, unpack(blob)))
    return letters


def take_dead(connection: Connection, seqs: Sequence[int]) -> list[tuple[str, bytes]]:
    """Remove dead letters by number; returns (queue, message) of those that existed, oldest first."""
    taken: list[tuple[str, bytes]] = []
    for seq in sorted(set(seqs)):
        rows: Any = connection.execute(
            "DELETE FROM dead_letters WHERE seq = ? RETURNING queue, message", (seq,)
        ).fetchall()
        taken += rows
    return taken
