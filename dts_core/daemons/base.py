"""Several daemons in one process: each a task; one that ends by itself takes the others down with its reason."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from dts_core.errors import DtsError
from dts_core.text import one_line

__all__ = ["Part", "PartDied", "running"]

Part = Callable[[], Coroutine[Any, Any, None]]
"""Works until it is cancelled."""
_log = logging.getLogger(__name__)


class PartDied(DtsError):
    """A part that should run for ever has ended; the process ends with it, rather than only look alive."""

    code = "part_died"
    default_advice = "See the log; it can be started again."


@asynccontextmanager
async def running(parts: Mapping[str, Part]) -> AsyncIterator[asyncio.TaskGroup]:
    """Run parts, by name, for the length of the block; at its end they are cancelled and waited for.

    Yields:
        The group they run in, for further tasks that stand and fall with them.

    Raises:
        PartDied: One ended by itself. The block is cancelled, the others are stopped.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(keep(name, run), name=name) for name, run in parts.items()]
            yield group
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as fallen:
        raise _first(fallen) from fallen


async def keep(name: str, run: Part) -> None:
    """Run one part.

    Raises:
        PartDied: It ended, for whatever reason, before it was cancelled.
    """
    try:
        await run()
    except Exception as error:
        _log.critical("%s died", name, exc_info=error)
        raise PartDied(f"{name} died: {_told(error)}") from error
    _log.critical("%s ended by itself", name)
    raise PartDied(f"{name} ended by itself.")


def _first(fallen: BaseExceptionGroup[BaseException]) -> BaseException:
    """The part that died; what fell with it stands in the log."""
    error: BaseException = fallen.subgroup(PartDied) or fallen
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _told(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = str(error) if isinstance(error, DtsError) else f"{type(error).__name__}: {error}"
    return one_line(text, 500)
