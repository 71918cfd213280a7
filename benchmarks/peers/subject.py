"""What is measured: something that takes jobs, runs them and keeps their results."""

from typing import Protocol

from benchmarks.processes import Family


class Subject(Protocol):
    """One task system between `open` and `close`, with a virtual host of its own."""

    version: str
    """Known once it is open."""
    results: str
    """Where results are stored, in words; known once it is open."""

    @property
    def name(self) -> str:
        """As the table calls it."""
        ...

    @property
    def jobs(self) -> int:
        """Jobs of one measurement: enough for some seconds."""
        ...

    async def open(self) -> None:
        """Start everything but the worker."""
        ...

    async def start_worker(self) -> None:
        """Start the worker; returns once its process is there."""
        ...

    async def enqueue(self, job: str, count: int, size: int) -> float:
        """Submit `count` jobs with `size` bytes of argument, each confirmed; seconds it took the client."""
        ...

    async def one(self, count: int) -> list[float]:
        """One job at a time, from the call to its result at the caller; milliseconds."""
        ...

    async def stored(self) -> int:
        """Results stored so far."""
        ...

    def families(self) -> dict[str, Family]:
        """The processes by part: client, worker (when it runs), broker, store."""
        ...

    async def close(self) -> None:
        """Stop every process and drop the virtual host."""
        ...
