"""What is typed and shown in a shell, as this side reads it: the escape that leaves, and modes that stayed on."""

import pytest

from dts_core.cli.escaping import Escaping
from dts_core.cli.rawterminal import Traces


@pytest.mark.parametrize(
    ("pieces", "keys", "leaves"),
    [
        (["~."], "", True),
        (["ls\r~", "."], "ls\r", True),
        (["a~."], "a~.", False),
        (["\r~~."], "\r~.", False),
        (["\r~x."], "\r~x.", False),
        (["\n", "~", "~", "~."], "\n~~.", False),
        (["x\r~.rest"], "x\r", True),
    ],
)
def test_the_escape_counts_at_the_beginning_of_a_line(
    pieces: list[str], keys: str, leaves: bool
) -> None:
    """Enter ~ . leaves however it is cut into pieces, ~ ~ is one ~, and elsewhere a ~ is a ~."""
    escaping = Escaping()
    told = [escaping.feed(piece.encode()) for piece in pieces]
    assert b"".join(each.keys for each in told).decode() == keys
    assert [each.leaves for each in told] == [False] * (len(pieces) - 1) + [leaves]


def test_help_is_asked_for_and_not_sent() -> None:
    """~ ? is ours, and leaves the line at its beginning."""
    escaping = Escaping()
    told = escaping.feed(b"~?~.")
    assert (told.keys, told.asks_help, told.leaves) == (b"", True, True)


@pytest.mark.parametrize(
    ("shown", "undoing"),
    [
        (["plain \x1b[31mtext"], ""),
        (["\x1b[?1049h\x1b[?25l"], "\x1b[?1049l\x1b[?25h\x1b[0m"),
        (["\x1b[?1049h", "text", "\x1b[?1049l"], ""),
        (["\x1b[?10", "49h"], "\x1b[?1049l\x1b[0m"),
        (["\x1b[?1000;1006h"], "\x1b[?1006l\x1b[?1000l\x1b[0m"),
        (["\x1b[?2004h\x1b[?2004l"], ""),
        (["\x1b[?25l" + "x" * 50 + "\x1b[?25h"], ""),
        (["\x1b[?7h\x1b[?12h"], ""),
    ],
)
def test_only_what_was_left_on_is_switched_off(shown: list[str], undoing: str) -> None:
    """The full screen, the mouse, a hidden cursor: of a program that was cut off, in pieces however they come."""
    traces = Traces()
    for piece in shown:
        traces.see(piece.encode())
    assert traces.undoing().decode() == undoing
