"""One screen as an SVG, drawn without a terminal."""

import asyncio
import re
import time
from pathlib import Path

from dts_core.errors import ConfigError, ServerUnreachable
from dts_tui.app import Console

WAIT_SECONDS = 15.0
SETTLE_SECONDS = 0.8
"""For the histories, which come after the first status."""
_REMOTE_FONT = re.compile(r"@font-face\s*\{[^}]*\}", re.DOTALL)


async def take(console: Console, target: Path, size: tuple[int, int]) -> None:
    """Run the console headless until it has data, then write its picture.

    Raises:
        ServerUnreachable: No answer within WAIT_SECONDS.
        ConfigError: The file cannot be written.
    """
    async with console.run_test(size=size) as pilot:
        deadline = time.monotonic() + WAIT_SECONDS
        while console.world.status is None:
            if time.monotonic() > deadline or console.world.connection.up is False:
                why = console.world.connection.why
                raise ServerUnreachable(why or "the server did not answer in time.")
            await pilot.pause(0.05)
        await asyncio.sleep(SETTLE_SECONDS)
        await pilot.pause()
        picture = portable(console.export_screenshot(title="dts", simplify=True))
    try:
        await asyncio.to_thread(target.write_text, picture, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", file=str(target)) from error


def portable(svg: str) -> str:
    """The same picture without a font from the network, and with its spaces kept by every viewer."""
    svg = _REMOTE_FONT.sub("", svg)
    svg = svg.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
