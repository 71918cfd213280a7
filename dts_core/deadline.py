"""By when whoever asked must have an answer: said once at the edge, heeded by every wait below it.

    with answer_within(4.5):
        ...  # whatever is asked of store and broker in here ends by then, all of it together

It goes down with the call, and into tasks that the call starts. Daemons say none: nobody waits for them, and their
calls take what their own settings allow.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import Any, TypeVar

__all__ = ["answer_within", "apart", "extended", "time_left"]

T = TypeVar("T")

_by: ContextVar[float | None] = ContextVar("answer_by", default=None)
"""On the loop's clock; None: nobody waits."""


@contextmanager
def answer_within(seconds: float) -> Iterator[None]:
    """Give everything inside so long, all together; never longer than was said before."""
    by = asyncio.get_running_loop().time() + seconds
    said = _by.get()
    token = _by.set(by if said is None else min(by, said))
    try:
        yield
    finally:
        _by.reset(token)


@contextmanager
def extended(seconds: float) -> Iterator[None]:
    """Whoever asked agreed to wait so much longer."""
    said = _by.get()
    token = _by.set(None if said is None else said + seconds)
    try:
        yield
    finally:
        _by.reset(token)


async def apart(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; it goes on to its own end, and by its own settings, when whoever waits for it gives up."""
    # In a context of its own nobody has said by when.
    task = Context().run(asyncio.get_running_loop().create_task, work)
    task.add_done_callback(_heard)
    return await asyncio.shield(task)


def _heard(task: "asyncio.Task[T]") -> None:
    """Its failure may be nobody's any more."""
    if not task.cancelled():
        task.exception()


def time_left(seconds: float, *, away_since: float | None = None) -> float:
    """How long a wait may take, in seconds; at least 0.

    Args:
        seconds: When nobody waits for an answer, and the most when somebody does.
        away_since: When what is waited for went away, on the loop's clock. Somebody who waits does not wait for it
            anew: `seconds` count from then, so that a short absence is bridged and a long one is told at once.
    """
    by = _by.get()
    if by is None:
        return seconds
    now = asyncio.get_running_loop().time()
    left = min(seconds, by - now)
    if away_since is not None:
        left = min(left, away_since + seconds - now)
    return max(left, 0.0)
