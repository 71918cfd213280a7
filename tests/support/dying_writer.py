"""Writers of admin documents that are killed with -9 at a point of their own choosing, one after the other.

    python -m tests.support.dying_writer FOLDER|URL

Each line of standard input is a point: the child forked for it writes, and is killed right before the statement
(SQLite), before the command or after its answer (MongoDB) of that number. It tells of each write that is done, and this
process tells how it ended.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pymongo import monitoring

from dts_core.clock import SystemClock
from dts_core.errors import Conflict
from dts_core.services.directory import NAMESPACES
from dts_core.settings import StoreSettings
from dts_core.stores.base import Store
from dts_core.stores.mongodb import open_store
from tests.contract.store_backends import open_file
from tests.support.audit import ADMIN, create, describe, namespace, writer


class Failpoint:
    """Counts points once it is armed, and kills this process at the one of that number."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.is_armed = False

    def reached(self) -> None:
        if self.is_armed:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Commands(monitoring.CommandListener):
    """Each command to MongoDB is a point before, and one after."""

    def __init__(self, failpoint: Failpoint) -> None:
        self._failpoint = failpoint

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self._failpoint.reached()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._failpoint.reached()

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._failpoint.reached()


@asynccontextmanager
async def opened(place: str, failpoint: Failpoint) -> AsyncIterator[Store]:
    """The store, with its points."""
    store: Any
    if place.startswith("mongodb:"):
        monitoring.register(Commands(failpoint))
        store = await open_store(StoreSettings(url=place, deadline_seconds=30), SystemClock())
    else:
        database, store = open_file(Path(place), SystemClock())

        def trace(*statement: Any) -> bool:
            failpoint.reached()
            return True

        database._writer.exec_trace = trace
    yield store
    # Not closed: what ends this process in the end is no part of the writes.


async def write(place: str, number: int) -> None:
    """One document's life, with a refused attempt in it."""
    failpoint = Failpoint(number)
    name = f"n{number}"
    async with opened(place, failpoint) as store:
        writing = writer(store, SystemClock())
        failpoint.is_armed = True
        made = namespace(name)
        blobs = [(name, b"content")]
        await writing.write(ADMIN, NAMESPACES, None, made, blobs=blobs)
        say(f"done {name} 1")
        changed = await describe(writing, made, "changed")
        say(f"done {name} 2")
        try:
            await create(writing, name)
        except Conflict:
            say(f"done {name} 2")
        await writing.write(ADMIN, NAMESPACES, changed, None)
        say(f"done {name} 3")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main() -> None:
    """Fork a writer for each line."""
    place = sys.argv[1]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(write(place, int(line)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        say(f"ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
