"""What lies over the screen: whole at any size, also when the terminal gets another one, with its own keys below."""

from collections.abc import Callable

import pytest

from dts_tui.widgets.confirm import Confirm
from dts_tui.widgets.overlays import Choice, Overlay, Picker, Reader
from tests.tui.conftest import Opener
from tests.tui.driving import Driver

LONG = "Run " + "a long command of many words " * 20 + "on 40 hosts?"
NAMES = [f"web-{number}" for number in range(40)]


def confirm() -> Overlay:
    return Confirm(LONG, NAMES, "Run", lambda: None)


def typed() -> Overlay:
    return Confirm(LONG, NAMES, "Remove it", lambda: None, typed="web-1")


def picker() -> Overlay:
    choices = [Choice(name, name) for name in NAMES]
    return Picker("hosts", lambda: choices, lambda name: None)


def reader() -> Overlay:
    return Reader("text", lambda width: [[(f"line {number}", "text")] for number in range(80)])


@pytest.mark.parametrize(
    ("make", "texts"),
    [
        (confirm, ("Sure?", "Cancel", "Run ", "y yes", "more", "tab chooses")),
        (typed, ("Sure?", "enter does it", "type web-1 to confirm", "esc leaves")),
        (picker, ("type to find", "web-0", "enter takes it")),
        (reader, ("line 0", "more ↓", "esc closes")),
    ],
)
async def test_it_is_whole_at_every_size(
    opened: Opener, make: Callable[[], Overlay], texts: tuple[str, ...]
) -> None:
    """Buttons, the line for the name and the frame are seen after the terminal was made smaller, and larger again."""
    async with opened(160, 48) as drive:
        drive.console.open_overlay(make())
        for size in ((160, 48), (60, 15), (80, 24), (200, 60)):
            await drive.pilot.resize_terminal(*size)
            await drive.shows(*texts)
            await drive.until(lambda: is_inside(drive))
        await drive.keys("escape")
        await drive.shows("? keys")


def is_inside(drive: Driver) -> bool:
    overlay = drive.console.overlay
    return overlay is not None and drive.console.frame.region.contains_region(overlay.region)
