"""What the parts of the MongoDB store share: the database, the clock, the deadline, the sequences."""

from typing import Any

from dts_core.clock import Clock
from dts_core.stores.mongodb.driver import Collection, Database, light
from dts_core.stores.mongodb.positions import FIGURES, Positions


class Shared:
    """One connected database with its sequences."""

    def __init__(self, database: Database, clock: Clock, deadline_seconds: float) -> None:
        self.database = database
        self.clock = clock
        self.deadline_seconds = deadline_seconds
        self.jobs = Positions(database[FIGURES], "jobs", deadline_seconds)
        self.logs = Positions(database[FIGURES], "logs", deadline_seconds)


class Part:
    """Base of the parts; each sees the same database."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._clock = shared.clock
        self.deadline_seconds = shared.deadline_seconds
        self.failures = 0
        """Calls that ended without an answer."""
        self.counters: dict[str, Any] = {"jobs_contended": 0, "positions_late": 0}

    def _in(self, name: str) -> Collection:
        return self._shared.database[name]

    def _light(self, name: str) -> Collection:
        """For what is written often and worth little: states and samples of hosts, log records."""
        return light(self._shared.database[name])
