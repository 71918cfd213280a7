"""How a process is asked to stop: signals, and the end of the process that started it."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["stop_limit", "stop_requests"]

_log = logging.getLogger(__name__)


@contextmanager
def stop_requests(*, parent_pipe: int | None = None) -> Iterator[asyncio.Event]:
    """An event that is set by SIGTERM, SIGINT, SIGHUP, or when the other end of `parent_pipe` is closed.

    A signal that the starting process had ignored (nohup, a shell's background job) stays ignored. The second signal
    ends the process at once: the children's own pipes end with it, and so do they.

    Args:
        parent_pipe: Reading end of a pipe whose writing end only the starting process holds.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    signals: list[signal.Signals] = []

    def asked(number: signal.Signals) -> None:
        if signals:
            os._exit(128 + number)
        signals.append(number)
        _log.info("%s: stopping", number.name)
        stop.set()

    def parent_ended() -> None:
        assert parent_pipe is not None
        loop.remove_reader(parent_pipe)
        _log.warning("the process that started this one has ended: stopping")
        stop.set()

    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    for number in numbers:
        loop.add_signal_handler(number, asked, number)
    if parent_pipe is not None:
        os.set_blocking(parent_pipe, False)
        loop.add_reader(parent_pipe, parent_ended)
    try:
        yield stop
    finally:
        if parent_pipe is not None:
            loop.remove_reader(parent_pipe)
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def stop_limit(stop: asyncio.Event, seconds: float) -> Iterator[None]:
    """End the process when the block is not over so long after `stop` was set.

    What is still open then would stay: the data is safe, every accepted job is in the store.
    """
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    async def watch() -> None:
        await stop.wait()
        timers.append(loop.call_later(seconds, _give_up))

    task = loop.create_task(watch(), name="stop-limit")
    try:
        yield
    finally:
        task.cancel()
        for timer in timers:
            timer.cancel()


def _give_up() -> None:
    sys.stderr.write("dts: it did not stop in time and was ended\n")
    sys.stderr.flush()
    os._exit(1)
