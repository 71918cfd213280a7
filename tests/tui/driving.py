"""Drives a console by keys and reads its screen as text."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import events
from textual.keys import _character_to_key
from textual.pilot import Pilot

if TYPE_CHECKING:
    from dts_tui.app import Console


class Driver:
    """One console under test."""

    def __init__(self, console: "Console", pilot: Pilot[None]) -> None:
        self.console, self.pilot = console, pilot

    async def keys(self, *keys: str) -> None:
        """Press keys; a text in `<...>` is typed letter by letter."""
        for key in keys:
            if key.startswith("<") and key.endswith(">") and len(key) > 2:
                self._type(key[1:-1])
            else:
                await self.pilot.press(key)
            await self.pilot.pause()

    def _type(self, text: str) -> None:
        """Letters at once, as a quick hand sends them: the console takes each as a key of its own."""
        driver = self.console._driver
        assert driver is not None
        for letter in text:
            name = letter if letter.isalnum() else _character_to_key(letter)
            event = events.Key(name, letter)
            event.set_sender(self.console)
            driver.send_message(event)

    def screen(self) -> str:
        """The screen as text."""
        screen = self.console.screen_stack[0]
        strips = screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    async def until(self, holds: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something holds; fails with the screen."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.screen()
            await self.pilot.pause(0.02)

    async def shows(self, *texts: str, seconds: float = 60.0) -> None:
        """Wait until the screen shows all of these."""
        deadline = time.monotonic() + seconds
        while missing := [text for text in texts if text not in self.screen()]:
            assert time.monotonic() < deadline, f"{missing} not in\n{self.screen()}"
            await self.pilot.pause(0.02)

    async def lacks(self, text: str, seconds: float = 60.0) -> None:
        """Wait until the screen shows this no more."""
        await self.until(lambda: text not in self.screen(), seconds)
