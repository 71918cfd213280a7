"""The store's contract, written once for every engine: jobs, documents with their audit, hosts, logs, blobs.

Every write is atomic and idempotent where its arguments carry an id. No method waits for anything but the store; each
has a deadline (StoreUnavailable). Lists are bounded.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

from dts_core.brokers.base import DeadLetter
from dts_core.model import (
    Alarm,
    Host,
    HostRun,
    HostSample,
    LogQuery,
    LogRecord,
    Operation,
    PartState,
)
from dts_core.stores.jobstore import OutboxStore
from dts_core.stores.sorting import Value


class Recorded(NamedTuple):
    """An operation as it lies in the store: its bytes, and what the store says of it beside them."""

    position: int
    id: str
    collection: str
    doc_id: str
    operator: str
    at: int
    """Microseconds since 1970."""
    content: bytes
    """MessagePack."""


class DocumentStore(Protocol):
    """Admin collections: `functions`, `namespaces`, `users`, `tokens`. Every write stores its Operation with it."""

    async def get_document(self, collection: str, doc_id: str) -> bytes | None:
        """The document as MessagePack, or None."""
        ...

    async def find_documents(
        self, collection: str, *, after: str = "", limit: int = 500, prefix: str = ""
    ) -> list[tuple[str, bytes]]:
        """(id, document) by id, above `after`, ids that begin with `prefix`."""
        ...

    async def sorted_documents(
        self,
        collection: str,
        field: str,
        *,
        falling: bool = False,
        behind: tuple[Value, str] | None = None,
        limit: int = 500,
    ) -> list[tuple[Value, str, bytes]]:
        """(value, id, document) in the order of a field, and by id among equals; at most 1,000.

        From an index: what lies before is not read.

        Args:
            collection: One of `sorting.SORTED`; for `id` any.
            field: One of its fields, or `id`.
            falling: The greatest first, of both.
            behind: Only those that come after this value and id.
            limit: How many.
        """
        ...

    async def write_document(
        self,
        collection: str,
        doc_id: str,
        document: bytes | None,
        operation: Operation,
        *,
        expected_revision: int | None = None,
        revision: int = 1,
        blobs: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Create (`expected_revision` 0), change, or (`document` None) delete one document.

        Its operation and blobs are kept with it. Without `expected_revision` any revision is changed or deleted.

        One transaction, durable: either all of it is kept or nothing.

        Raises:
            Conflict: It exists already (create), or its revision is not `expected_revision`.
            NotFound: There is none to change or delete.
        """
        ...

    async def mark(self, collection: str, doc_id: str, at: datetime) -> None:
        """Remember when a document was last used: it need not be durable, and is no write of it.

        There is no operation; an earlier instant than the one kept changes nothing, nor does a document that is gone.
        """
        ...

    async def marks(self, collection: str, doc_ids: Sequence[str]) -> dict[str, datetime]:
        """When these documents were last used, where that is known; it goes with the document. At most 1,000 ids."""
        ...

    async def next_operation(self) -> int:
        """Take a position for an operation, above those of all that are kept; it need not be used."""
        ...

    async def add_operation(self, operation: Operation) -> None:
        """Record a refused attempt, or an act that writes no document; durable.

        Here as with a document, an operation without a position is given the next one.
        """
        ...

    async def operations(
        self,
        *,
        collection: str = "",
        doc_id: str = "",
        operator: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        before: int = 0,
        after: int = 0,
        limit: int = 50,
    ) -> list[tuple[int, Operation]]:
        """(position, operation), newest first; at most 1,000.

        Args:
            collection: Of this one, and what follows alike, where it is given.
            doc_id: Of this document; give its collection with it.
            operator: By this user.
            since: Not before this instant.
            until: Before this instant.
            before: Positions below this one.
            after: Positions above this one, those next to it.
            limit: How many.
        """
        ...

    async def find_operation(self, operation_id: str) -> tuple[int, Operation] | None:
        """(position, operation) of an id, or None."""
        ...

    async def recorded(self, *, after: int = 0, limit: int = 200) -> list[Recorded]:
        """Operations just as they lie there, by position, oldest first, above `after`; at most 1,000."""
        ...

    async def get_blob(self, digest: str) -> bytes | None:
        """Content by its sha256 in hex, or None."""
        ...


class HostStore(Protocol):
    """Hosts, their history, their alarms."""

    async def save_hosts(
        self, hosts: Sequence[Host], samples: Sequence[tuple[str, HostSample]] = ()
    ) -> None:
        """Replace current states and add fine samples (host, sample)."""
        ...

    async def hosts(self) -> list[Host]:
        """All hosts by name."""
        ...

    async def samples(
        self, host: str, since: datetime, *, by_minute: bool = False, limit: int = 2000
    ) -> list[HostSample]:
        """History by time; newest `limit` of them."""
        ...

    async def roll_up(self, now: datetime, *, fine: timedelta, coarse: timedelta) -> None:
        """Make minute means of complete minutes; drop fine samples older than `fine`, minutes older than `coarse`."""
        ...

    async def save_alarm(self, alarm: Alarm) -> bool:
        """Open (insert) or change an alarm by its id. False: the same (host, rule) is open already under another id."""
        ...

    async def alarms(self, *, open_only: bool = False, limit: int = 200) -> list[Alarm]:
        """Open ones first, then newest first."""
        ...


class LogStore(Protocol):
    """Log records, by position."""

    async def add_logs(self, records: Sequence[LogRecord]) -> list[LogRecord]:
        """Append; returns them with their positions."""
        ...

    async def find_logs(self, query: LogQuery) -> list[LogRecord]:
        """By position, oldest first; the newest `limit` that match when `after` is 0.

        Looks at a bounded number of rows, from `after` on or back from the newest.
        """
        ...

    async def log_position(self) -> int:
        """The newest position of any record."""
        ...

    async def trim_logs(self, before: datetime, *, keep_bytes: int, limit: int = 20_000) -> int:
        """Remove records older than `before`, and the oldest beyond `keep_bytes`; returns how many."""
        ...


class DeadLetterStore(Protocol):
    """Messages that a broker gave up, for brokers that cannot show them themselves (RabbitMQ)."""

    async def add_dead(self, letters: Sequence[tuple[str, DeadLetter]]) -> None:
        """Keep (key, letter), durable; a key that is there already changes nothing. `seq` is given by the store."""
        ...

    async def dead_letters(self, *, limit: int = 50, before: int = 0) -> list[DeadLetter]:
        """The newest first; `before` a seq pages on. At most 500."""
        ...

    async def get_dead(self, seqs: Sequence[int]) -> list[DeadLetter]:
        """Those that exist, by seq; at most 1,000."""
        ...

    async def discard_dead(self, seqs: Sequence[int]) -> int:
        """Remove them; how many there were."""
        ...

    async def count_dead(self) -> dict[str, int]:
        """Queue -> how many came from it and are kept."""
        ...


class RunStore(Protocol):
    """How far the hosts of fan-outs are, by job and host; they go with their job."""

    async def save_runs(self, runs: Sequence[HostRun]) -> list[bool]:
        """Keep how far hosts are, durable; for each whether it stands as given.

        A host that has ended stays as it is. One that is begun is ended by the same epoch or a later one, and begun
        again by none. So the same call may be made again, and of two that begin a host only one hears True.
        """
        ...

    async def show_runs(self, runs: Sequence[HostRun]) -> None:
        """Show what running hosts have printed so far, in place of what was shown before; not durable.

        Their output alone is written, and only of hosts that this very epoch has begun and that have not ended.
        """
        ...

    async def runs(self, job: str, *, after: int = 0, limit: int = 1000) -> list[HostRun]:
        """Of a job, by seq, above `after`; without output. At most 1,000."""
        ...

    async def get_runs(
        self, job: str, hosts: Sequence[str], *, with_output: bool = False
    ) -> list[HostRun]:
        """Those of these hosts that there are, in their order; at most 1,000, with output 100."""
        ...

    async def count_runs(self, job: str) -> dict[str, int]:
        """State -> hosts of the job that stand there."""
        ...


class RoleStore(Protocol):
    """Which process leads in a role, and which parts there are: for a control side of several processes."""

    async def hold_role(self, role: str, owner: str, seconds: float) -> bool:
        """Become, or stay, the one holder of `role` for the next `seconds` by the store's own clock.

        False: another one holds it. One guarded write; of two callers at once at most one hears True.
        """
        ...

    async def release_role(self, role: str, owner: str) -> None:
        """Let go of a role, so that another may take it at once; nothing when it is held by another."""
        ...

    async def save_part(self, part: PartState) -> None:
        """Keep what a part says of itself, by its id; `seen_at` is set to the store's clock."""
        ...

    async def parts(self, *, within_seconds: float = 60.0) -> list[PartState]:
        """Those that said something lately, by name and id. Older ones are forgotten by and by."""
        ...


class Store(
    OutboxStore,
    DocumentStore,
    HostStore,
    LogStore,
    DeadLetterStore,
    RunStore,
    RoleStore,
    Protocol,
):
    """All of it, with its life."""

    async def ping(self) -> None:
        """A real read. Raises StoreUnavailable."""
        ...

    def metrics(self) -> dict[str, Any]:
        """Figures of its own for `/metrics`: name -> number."""
        ...

    async def close(self) -> None:
        """Finish what was accepted and disconnect. A second call does nothing."""
        ...
