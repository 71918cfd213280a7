"""What stands in one queue: windows over the table for queues of work, plain memory for the others.

Nothing here waits or touches the file; the broker calls it on the loop and does what it asks for.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Final

from dts_core.brokers.base import Message, QueueKind, QueueSpec

WINDOW: Final = 1_000
"""Most ready messages of one priority kept in memory; the others wait in the table."""
PRIORITIES: Final = 10
MEMORY_BYTES: Final = 64 << 20
"""Most bytes of the messages that wait in one queue in memory, whatever its limit in messages."""

_by_seq = attrgetter("seq")


class Entry:
    """One message in memory. `seq` is its row for queues of work and a plain count elsewhere."""

    __slots__ = (
        "deliveries",
        "epoch",
        "message",
        "priority",
        "published",
        "released",
        "returned",
        "seen",
        "seq",
    )

    def __init__(self, seq: int, message: Message, published: float, deliveries: int = 0) -> None:
        self.seq = seq
        self.message = message
        self.priority = min(max(message.priority, 0), PRIORITIES - 1)
        self.published = published
        """Seconds since 1970."""
        self.deliveries = deliveries
        """How often it came back charged: lost with its link, or handed back."""
        self.seen = deliveries > 0
        """Whether it was ever delivered, as far as is known."""
        self.epoch = 0
        """The claim that its present delivery stands on."""
        self.released = False
        """Its former delivery is known to be over, so a live lease does not stand against it."""
        self.returned = False
        """It was given back: whatever is still known of that claim is nobody's loss."""


class Figures:
    """What a queue counts since the broker started; `dead` counts the dead letters that are kept."""

    __slots__ = ("acked", "dead", "delivered", "dropped", "published", "unacked")

    def __init__(self) -> None:
        self.published = 0
        self.delivered = 0
        self.acked = 0
        self.dropped = 0
        self.dead = 0
        self.unacked = 0


class Lane:
    """Ready messages of one priority, oldest first: a window in memory, the rest counted by `beyond`.

    Every message in the table above `cursor` is beyond; none at or below it is, so reading on from `cursor` never meets
    a message twice.
    """

    __slots__ = ("beyond", "cursor", "memory", "oldest_beyond", "priority", "reading")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.memory: deque[Entry] = deque()
        self.beyond = 0
        self.cursor = 0
        self.oldest_beyond = 0.0
        self.reading = False

    def add(self, entry: Entry) -> None:
        """Take a message that was just committed."""
        if entry.seq <= self.cursor:
            self.put_back([entry])
        elif self.beyond or self.reading or len(self.memory) >= WINDOW:
            if not self.beyond:
                self.oldest_beyond = entry.published
            self.beyond += 1
        else:
            self.memory.append(entry)
            self.cursor = entry.seq

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Put entries, by seq, where they belong: in front of all that is younger."""
        if not self.memory or entries[-1].seq < self.memory[0].seq:
            self.memory.extendleft(reversed(entries))
        else:
            self.memory = deque(heapq.merge(entries, self.memory, key=_by_seq))

    def wants_more(self) -> bool:
        """Whether the window should be read on."""
        return self.beyond > 0 and not self.reading and len(self.memory) <= WINDOW // 2

    def read_on(self, entries: Sequence[Entry], cursor: int) -> None:
        """Take what a read above the cursor brought.

        Args:
            entries: What it found, without messages whose publication is not announced yet.
            cursor: The last row that it looked at.
        """
        self.memory.extend(entries)
        self.beyond = max(self.beyond - len(entries), 0)
        self.cursor = max(self.cursor, cursor)
        if entries:
            self.oldest_beyond = entries[-1].published


class WorkQueue:
    """A durable queue with priorities. `read` is called with a lane whose window should be read on."""

    def __init__(self, spec: QueueSpec, read: Callable[["WorkQueue", Lane], None]) -> None:
        self.spec = spec
        self.name = spec.name
        self.claimed = spec.claimed
        self.durable = True
        self.figures = Figures()
        self.ready = 0
        self.lanes = [Lane(priority) for priority in range(PRIORITIES - 1, -1, -1)]
        self._read = read

    def lane(self, priority: int) -> Lane:
        """The lane of a priority."""
        return self.lanes[PRIORITIES - 1 - priority]

    def add(self, entry: Entry) -> None:
        """Take a message that was just committed."""
        self.ready += 1
        self.lane(entry.priority).add(entry)

    def take(self, limit: int) -> list[Entry]:
        """Up to `limit` ready messages in order; fewer when the next ones have to be read first."""
        taken: list[Entry] = []
        for lane in self.lanes:
            memory = lane.memory
            while memory and len(taken) < limit:
                taken.append(memory.popleft())
            if lane.wants_more():
                self._read(self, lane)
            if lane.beyond or len(taken) == limit:
                break
        self.ready -= len(taken)
        return taken

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Return messages to the front, by seq within their priority."""
        self.ready += len(entries)
        lanes: dict[int, list[Entry]] = {}
        for entry in sorted(entries, key=_by_seq):
            lanes.setdefault(entry.priority, []).append(entry)
        for priority, group in lanes.items():
            self.lane(priority).put_back(group)

    def pull(self, message_ids: set[str]) -> list[Entry]:
        """Take those ready messages of the windows that have one of the ids."""
        pulled: list[Entry] = []
        for lane in self.lanes:
            found = [entry for entry in lane.memory if entry.message.message_id in message_ids]
            if found:
                pulled += found
                lane.memory = deque(
                    entry for entry in lane.memory if entry.message.message_id not in message_ids
                )
            if lane.wants_more():
                self._read(self, lane)
        self.ready -= len(pulled)
        return pulled

    def oldest(self) -> float:
        """When the oldest ready message was published, seconds since 1970; 0 when none is ready."""
        times = [lane.memory[0].published for lane in self.lanes if lane.memory]
        times += [lane.oldest_beyond for lane in self.lanes if lane.beyond and not lane.memory]
        return min(times, default=0.0)


class MemoryQueue:
    """A bounded queue, or one of requests: in memory only, no priorities."""

    claimed = False
    durable = False

    def __init__(self, spec: QueueSpec) -> None:
        self.spec = spec
        self.name = spec.name
        self.figures = Figures()
        self._entries: deque[Entry] = deque()
        self._count = 0
        self._bytes = 0

    @property
    def ready(self) -> int:
        """How many messages wait."""
        return len(self._entries)

    @property
    def is_full(self) -> bool:
        """Whether the next message would push the oldest out."""
        return len(self._entries) >= self.spec.limit or self._bytes >= MEMORY_BYTES

    def push(self, message: Message, published: float) -> None:
        """Take a message, dropping the oldest when the queue is full."""
        self._count += 1
        self._entries.append(Entry(self._count, message, published))
        self._bytes += len(message.body)
        self._drop()

    def take(self, limit: int) -> list[Entry]:
        """Up to `limit` messages, oldest first."""
        entries = self._entries
        taken = [entries.popleft() for _ in range(min(limit, len(entries)))]
        self._bytes -= _size(taken)
        return taken

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Return messages to the front; the oldest are dropped when that is too many."""
        self._entries = deque(heapq.merge(sorted(entries, key=_by_seq), self._entries, key=_by_seq))
        self._bytes += _size(entries)
        self._drop()

    def discard(self, unwanted: Callable[[Entry], bool]) -> None:
        """Forget the waiting messages that nobody wants any more."""
        self._entries = deque(entry for entry in self._entries if not unwanted(entry))
        self._bytes = _size(self._entries)

    def oldest(self) -> float:
        """When the oldest waiting message was published, seconds since 1970; 0 when none waits."""
        return self._entries[0].published if self._entries else 0.0

    def _drop(self) -> None:
        entries = self._entries
        while len(entries) > self.spec.limit or (self._bytes > MEMORY_BYTES and len(entries) > 1):
            self._bytes -= len(entries.popleft().message.body)
            self.figures.dropped += 1


def _size(entries: Iterable[Entry]) -> int:
    return sum(len(entry.message.body) for entry in entries)


Queue = WorkQueue | MemoryQueue


def make_queue(spec: QueueSpec, read: Callable[[WorkQueue, Lane], None]) -> Queue:
    """The queue that a spec describes."""
    return WorkQueue(spec, read) if spec.kind is QueueKind.WORK else MemoryQueue(spec)
