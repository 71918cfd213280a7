"""`dts ssh --tty`: this terminal lent to a host, and given back as it was, whatever happens."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

import click

from dts_core.cli.client_common import Where
from dts_core.cli.escaping import HELP, Escaping
from dts_core.cli.rawterminal import RawTerminal
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.clients.shell import Shell

__all__ = ["run_shell"]

SIGNALLED: Final = 128
"""Added to a signal's number, as shells do."""
UNKNOWN: Final = 255
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


class _Left(Exception):
    """It is over on this side: with words, and the exit status."""

    def __init__(self, words: str, status: int) -> None:
        super().__init__(words)
        self.words = words
        self.status = status


def run_shell(where: Where, host: str) -> int:
    """Open a shell on a virtual host; its exit status.

    Raises:
        DtsError: The server or the host refuses, or is gone.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("--tty needs a terminal on standard input and output.")
    try:
        return asyncio.run(_run(where, host))
    except _Left as left:
        click.echo(f"dts: {left.words}", err=True)
        return left.status


async def _run(where: Where, host: str) -> int:
    with RawTerminal() as terminal:
        columns, rows = terminal.size()
        term = os.environ.get("TERM", "xterm")
        async with (
            where.async_client() as client,
            client.shell(host, term=term, columns=columns, rows=rows) as shell,
        ):
            return await _Lent(terminal, shell, host).run()


class _Lent:
    """The terminal, while a shell has it."""

    def __init__(self, terminal: RawTerminal, shell: "Shell", host: str) -> None:
        self._terminal = terminal
        self._shell = shell
        self._host = host
        self._resized = asyncio.Event()
        self._told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._opened = asyncio.Event()

    async def run(self) -> int:
        """Until either side ends; the exit status."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._resized.set)
        for number in _ENDING:
            loop.add_signal_handler(number, self._end, number)
        try:
            return await _first(self._output(), self._keys(), self._sizes(), self._signals())
        finally:
            for number in (signal.SIGWINCH, *_ENDING):
                loop.remove_signal_handler(number)

    def _end(self, number: int) -> None:
        if not self._told.done():
            self._told.set_result(number)

    async def _signals(self) -> int:
        number = await self._told
        raise _Left(f"ended by {signal.Signals(number).name}", SIGNALLED + number)

    async def _output(self) -> int:
        from dts_core.views.shell import Exited, Opened

        async for heard in self._shell:
            if isinstance(heard, Opened):
                self._terminal.lend()
                told = f"{clean(heard.host, 120)} ({HELP})\r\n"
                await self._terminal.show(told.encode())
                self._opened.set()
            elif isinstance(heard, Exited):
                return _status(heard)
            else:
                await self._terminal.show(heard)
        return 0

    async def _keys(self) -> int:
        await self._opened.wait()
        escaping = Escaping()
        while keys := await self._terminal.keys():
            typed = escaping.feed(keys)
            await self._shell.send(typed.keys)
            if typed.asks_help:
                await self._terminal.show(f"\r\n{HELP}\r\n".encode())
            if typed.leaves:
                raise _Left(f"the shell on {clean(self._host, 120)} was left", 0)
        raise _Left("this terminal is gone", SIGNALLED + signal.SIGHUP)

    async def _sizes(self) -> int:
        while True:
            await self._resized.wait()
            self._resized.clear()
            await self._shell.resize(*self._terminal.size())


async def _first(*sides: Coroutine[Any, Any, int]) -> int:
    """What the first of these returns or raises; the others are ended."""
    tasks = [asyncio.create_task(side) for side in sides]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _status(ended: Any) -> int:
    if ended.status is not None:
        return int(ended.status) & 0xFF
    name = f"SIG{ended.signal}"
    return SIGNALLED + signal.Signals[name] if name in signal.Signals.__members__ else UNKNOWN
