"""Between a channel and whoever reads of it: nothing is read ahead without end."""

import asyncio
from typing import Any

from dts_core.ssh.channel import Channel

__all__ = ["Valve"]


class Valve(asyncio.Transport):
    """What a StreamReader holds on to when it has enough.

    A channel hands over what it kept back within `resume_reading`; the reader does not look for data that comes before
    it waits, so the channel is resumed in the next turn of the loop.
    """

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._is_open = True

    def pause_reading(self) -> None:
        """The reader has enough."""
        self._is_open = False
        self._channel.pause_reading()

    def resume_reading(self) -> None:
        """It has read on."""
        self._is_open = True
        asyncio.get_running_loop().call_soon(self._resume)

    def _resume(self) -> None:
        if self._is_open:
            self._channel.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Nothing is told."""
        del name
        return default
