"""Drives a console by keys and reads its screen as text."""

import time
from collections.abc import Callable, Sequence
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
            if _is_text(key):
                self._send([key])
            else:
                await self.pilot.press(key)
            await self._taken()

    async def burst(self, *keys: str) -> None:
        """The same keys at once, as a slow line delivers them."""
        self._send(keys)
        await self._taken()

    async def _taken(self) -> None:
        await self.pilot.pause()
        await self.until(lambda: self.console.typed.idle)
        await self.pilot.pause()

    def _send(self, keys: Sequence[str]) -> None:
        """Each letter of a text as a key of its own, nothing awaited between them."""
        driver = self.console._driver
        assert driver is not None
        for key in keys:
            for name, letter in _letters(key[1:-1]) if _is_text(key) else [(key, None)]:
                event = events.Key(name, letter)
                event.set_sender(self.console)
                driver.send_message(event)

    def screen(self) -> str:
        """The screen as text."""
        screen = self.console.frame
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
            assert time.monotonic() < deadline, f"{missing} not in\n{self.screen()}\n{self._said()}"
            await self.pilot.pause(0.02)

    def _said(self) -> str:
        """Its last notices."""
        return "\n".join(text for _, text, _ in self.console.notices)

    async def lacks(self, text: str, seconds: float = 60.0) -> None:
        """Wait until the screen shows this no more."""
        await self.until(lambda: text not in self.screen(), seconds)


def _is_text(key: str) -> bool:
    return key.startswith("<") and key.endswith(">") and len(key) > 2


def _letters(text: str) -> list[tuple[str, str]]:
    return [(each if each.isalnum() else _character_to_key(each), each) for each in text]
