"""Reads a function's source without holding up this process, however large it is.

The parser keeps the interpreter's lock from its first byte to its last, so a thread is no help: a dense source of 1 MiB
takes five seconds and 600 MB. Small sources are read here, larger ones in a process of their own.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from dts_core.errors import DtsError, FunctionRefused
from dts_core.services.signature import Reading, encode_source, read_source

HERE_MAX: Final = 16 << 10
"""Largest source that is read in this process, in bytes: 0.1 s at its densest."""
AT_ONCE: Final = 2
READ_SECONDS: Final = 30.0
MEMORY_MAX: Final = 2 << 30
"""Address space of the reading process, in bytes."""
_ROOT: Final = str(Path(__file__).resolve().parents[2])


class Told(msgspec.Struct, frozen=True):
    """What the reading process answers with: a reading, or why it was refused."""

    reading: Reading | None = None
    refused: str = ""
    advice: str = ""


class SourceReader:
    """Reads sources, at most AT_ONCE large ones at the same time."""

    def __init__(self) -> None:
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def read(self, source: str) -> Reading:
        """What the source says of itself.

        Raises:
            FunctionRefused: It does not parse, has no main, or could not be read within READ_SECONDS and MEMORY_MAX.
        """
        data = encode_source(source)
        if len(data) <= HERE_MAX:
            return await asyncio.to_thread(read_source, source)
        async with self._gate:
            told = await _ask(data)
        if told.reading is None:
            raise FunctionRefused(told.refused, advice=told.advice)
        return told.reading


async def _ask(data: bytes) -> Told:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "dts_core.services.reading",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": _ROOT, "PATH": os.defpath},
    )
    try:
        async with asyncio.timeout(READ_SECONDS):
            answer, _ = await process.communicate(data)
        return msgspec.msgpack.decode(answer, type=Told)
    except TimeoutError:
        return Told(refused=f"the source could not be read within {READ_SECONDS:g} s.")
    except msgspec.DecodeError:
        return Told(refused="the source is too complex to be read.", advice="Make it smaller.")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def main() -> None:
    """The reading process: source on standard input, a Told on standard output."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    try:
        told = Told(reading=read_source(sys.stdin.buffer.read().decode()))
    except DtsError as error:
        told = Told(refused=error.message, advice=error.advice)
    sys.stdout.buffer.write(msgspec.msgpack.encode(told))


if __name__ == "__main__":
    main()
