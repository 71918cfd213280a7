"""Where a record and its message become durable in one commit."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from dts_core.brokers.base import Outgoing
from dts_core.model import Job, Outcome, Transition
from dts_core.sqlite import Connection, Database
from dts_core.states import JobState
from dts_core.stores.embedded import keys
from dts_core.stores.embedded.base import within
from dts_core.stores.embedded.jobs import Jobs
from dts_core.stores.jobstore import IdempotencyKey

T = TypeVar("T")


class PreparedPublish(Protocol):
    """Messages that are checked and wait to be written with something else."""

    def write(self, connection: Connection, only: Sequence[int] | None = None) -> None:
        """Write them, or those at the indexes `only` and forget the others; in the caller's transaction."""
        ...

    def done(self) -> None:
        """Let consumers have them; on the loop, after the commit."""
        ...


class PreparingBroker(Protocol):
    """What the embedded broker offers to whoever shares its file."""

    def prepare(self, items: Sequence[Outgoing]) -> PreparedPublish:
        """Check the queues and encode the messages.

        Raises:
            QueueNotFound: A queue was never declared.
        """
        ...


class EmbeddedIntake:
    """The Intake over one file that holds jobs and messages."""

    def __init__(self, database: Database, store: Jobs, broker: PreparingBroker) -> None:
        self._database = database
        self._store = store
        self._broker = broker

    async def accept(
        self,
        jobs: Sequence[Job],
        messages: Sequence[Outgoing],
        *,
        key: IdempotencyKey | None = None,
    ) -> list[str]:
        """See Intake."""
        prepared = self._broker.prepare(messages) if messages else None
        queued = frozenset(outgoing.message.message_id for outgoing in messages)
        writer = self._store.writer

        def work(connection: Connection) -> tuple[list[str], bool]:
            if key is not None and (before := keys.accepted(connection, key)) is not None:
                return before, False
            writer.insert(connection, jobs, queued)
            if prepared is not None:
                prepared.write(connection)
            if key is not None:
                keys.remember(connection, key, jobs)
            return [job.id for job in jobs], True

        def committed(answer: tuple[list[str], bool]) -> None:
            if answer[1] and prepared is not None:
                prepared.done()

        ids, _ = await self._commit(work, committed)
        return ids

    async def invite(
        self, transitions: Sequence[Transition], messages: Sequence[Outgoing]
    ) -> list[Outcome]:
        """See Intake."""
        if len(transitions) != len(messages):
            raise ValueError(f"{len(transitions)} transitions, {len(messages)} messages")
        if not transitions:
            return []
        prepared = self._broker.prepare(messages)
        writer = self._store.writer

        def work(connection: Connection) -> list[Outcome]:
            outcomes = writer.apply(connection, transitions)
            # A transition may also end elsewhere (a cancelled job that was lost): then nobody is invited.
            invited = [at for at, outcome in enumerate(outcomes) if _is_invited(outcome)]
            prepared.write(connection, only=invited)
            return outcomes

        return await self._commit(work, lambda outcomes: prepared.done())

    async def _commit(self, work: Callable[[Connection], T], committed: Callable[[T], None]) -> T:
        """Commit durably; `committed` runs after it even when the caller has stopped waiting meanwhile."""
        future = self._database.write(work, durable=True)

        def settled(done: asyncio.Future[T]) -> None:
            if not done.cancelled() and done.exception() is None:
                committed(done.result())

        future.add_done_callback(settled)
        return await within(asyncio.shield(future))


def _is_invited(outcome: Outcome) -> bool:
    return outcome.applied and outcome.state is JobState.QUEUED
