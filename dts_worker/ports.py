"""What the worker's side tasks (prober, log agent) may ask of it, and where they send.

The side tasks know only these Protocols; `worker.py` passes itself. Every method answers at once, on the loop's thread.
"""

from typing import Protocol, runtime_checkable

from dts_core.model import LogRecord, Readied


@runtime_checkable
class WorkerFacts(Protocol):
    """What a heartbeat says about the worker; the figures of the host are the prober's own."""

    @property
    def host(self) -> str:
        """Name of this host, as it appears on the wall."""
        ...

    @property
    def worker(self) -> str:
        """Name of this worker: unique for each start of the process."""
        ...

    @property
    def version(self) -> str:
        """Version of dts."""
        ...

    @property
    def loop(self) -> str:
        """`uvloop` or `asyncio`."""
        ...

    @property
    def queues(self) -> list[str]:
        """Queues that it takes from, the host's own included, without the prefix `jobs.`."""
        ...

    @property
    def slots(self) -> int:
        """Synchronous jobs that it runs at once."""
        ...

    @property
    def running(self) -> int:
        """Jobs, of either kind, that run right now."""
        ...

    @property
    def draining(self) -> bool:
        """Whether it takes nothing new."""
        ...

    def held(self) -> list[tuple[str, int]]:
        """(job id, epoch) of every claim: waiting, running, or with a result that is not confirmed yet."""
        ...

    def counts(self) -> list[tuple[int, str, int]]:
        """(number of WorkerEvent, function, how many since the worker started)."""
        ...

    def functions(self) -> dict[str, str]:
        """Function -> content hash of the newest version loaded here."""
        ...

    def readied(self) -> list[Readied]:
        """What lately became of versions that deploys told it to have ready."""
        ...


@runtime_checkable
class LogSink(Protocol):
    """Where log records go; never blocks, never raises."""

    def add(self, record: LogRecord) -> None:
        """Send the record soon; when the bounded outbox is full the oldest record is dropped and counted."""
        ...

    def note_dropped(self, count: int) -> None:
        """Tell the control side that `count` records were dropped before they got here."""
        ...


class SideTask(Protocol):
    """A part of the worker that runs beside the jobs. When `run` ends or raises, the worker stops with a message."""

    async def run(self) -> None:
        """Work until cancelled."""
        ...
