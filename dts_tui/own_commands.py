"""`dts` itself run by the console: on the same server, by the same user, nothing secret on its command line."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from dts_core.errors import InvalidInput
from dts_core.text import one_line

if TYPE_CHECKING:
    from dts_core.clients import AdminClient

__all__ = ["answer_of", "command", "last_words", "surroundings"]

WORDS_MAX: Final = 400


def command(*words: str) -> list[str]:
    """The words of a call of `dts`."""
    # -P: what lies in the folder that the console was started in is no module of ours.
    return [sys.executable, "-P", "-m", "dts_core", *words]


def surroundings(client: "AdminClient") -> dict[str, str]:
    """Where the server is and who asks, as the command finds it in its environment."""
    return {"DTS_URL": client.url, "DTS_TOKEN": client.token, "DTS_CA_FILE": client.authorities}


def last_words(said: str) -> str:
    """What a command said last on standard error, as one line; empty where it said nothing."""
    return one_line(said.strip().rsplit("\n", 1)[-1].removeprefix("dts: "), WORDS_MAX)


async def answer_of(words: Sequence[str], env: Mapping[str, str]) -> bytes:
    """What `dts` prints; ended with whoever waits for it.

    Raises:
        InvalidInput: It printed nothing; says what it said instead.
    """
    process = await asyncio.create_subprocess_exec(
        *command(*words),
        env={**os.environ, **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, said = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if not out.strip():
        why = last_words(said.decode("utf-8", "replace"))
        raise InvalidInput(why or f"dts ended with status {process.returncode}")
    return out
