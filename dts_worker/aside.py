"""Blocking calls beside the loop, in threads that can be given up.

A call into a dead network mount may never return and cannot be interrupted. Such a thread is left behind; since it is
a daemon thread, it does not hold up the end of the process, which a thread of an executor would.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Stuck(TimeoutError):
    """The call did not return in time, or an earlier call of the same name has not returned yet."""


class Aside:
    """Runs blocking calls by name, one of each name at a time: at most one thread a name is ever lost."""

    def __init__(self) -> None:
        self._threads: dict[str, threading.Thread] = {}

    def is_stuck(self, name: str) -> bool:
        """Whether a call of this name has not returned yet."""
        thread = self._threads.get(name)
        return thread is not None and thread.is_alive()

    async def wait(self, name: str, *, timeout_seconds: float) -> None:
        """Wait for a call of this name that was given up, at most so long."""
        thread = self._threads.get(name)
        if thread is not None:
            await asyncio.to_thread(thread.join, timeout_seconds)

    async def run(self, name: str, call: Callable[[], T], *, timeout_seconds: float) -> T:
        """Run `call` in a thread of its own and hand on what it returns or raises.

        Raises:
            Stuck: It takes longer than `timeout_seconds`, or the last one of this name still runs.
        """
        if self.is_stuck(name):
            raise Stuck(name)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        thread = threading.Thread(
            target=_work, args=(call, answer, loop), name=f"dts-{name}", daemon=True
        )
        self._threads[name] = thread
        thread.start()
        try:
            async with asyncio.timeout(timeout_seconds):
                result = await answer
        except Stuck:
            raise
        except TimeoutError as error:
            raise Stuck(name) from error
        finally:
            if answer.done() and not answer.cancelled():
                self._threads.pop(name, None)  # it has answered; its last instructions do not count
        return result


def _work(
    call: Callable[[], T], answer: asyncio.Future[T], loop: asyncio.AbstractEventLoop
) -> None:
    try:
        result = call()
    except Exception as error:  # noqa: BLE001 - handed to whoever awaits
        _post(loop, answer, None, error)
    else:
        _post(loop, answer, result, None)


def _post(
    loop: asyncio.AbstractEventLoop,
    answer: asyncio.Future[T],
    result: T | None,
    error: Exception | None,
) -> None:
    def settle() -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # None only where T allows it

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(settle)
