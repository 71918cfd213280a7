"""The stream of a launched process, without one."""

import asyncio
from typing import TYPE_CHECKING, cast

from dts_core.ssh.launch import BUFFER_BYTES
from dts_core.ssh.valve import Valve

if TYPE_CHECKING:
    from dts_core.ssh.channel import Channel


async def test_what_a_channel_kept_back_is_read_at_once() -> None:
    """A channel hands it over while it is being resumed, more than a reader takes at a time: nobody waits for ever."""
    kept = [bytes(BUFFER_BYTES)] * 8
    reader = asyncio.StreamReader(limit=BUFFER_BYTES)

    class Kept:
        is_paused = False

        def pause_reading(self) -> None:
            self.is_paused = True

        def resume_reading(self) -> None:
            self.is_paused = False
            while kept and not self.is_paused:
                reader.feed_data(kept.pop())

    channel = Kept()
    reader.set_transport(Valve(cast("Channel", channel)))
    channel.resume_reading()
    async with asyncio.timeout(60):
        assert len(await reader.readexactly(8 * BUFFER_BYTES)) == 8 * BUFFER_BYTES
