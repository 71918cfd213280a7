"""What the terminal sends, made harmless before Textual reads it: bytes that are no text, escapes in a paste."""

import codecs
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from textual._xterm_parser import XTermParser
from textual.message import Message

START: Final = "\x1b[200~"
END: Final = "\x1b[201~"
SHOWN_ESCAPE: Final = "\\x1b"


class Pastes:
    """Makes every escape within a bracketed paste visible; everything else passes as it is."""

    def __init__(self) -> None:
        self._inside = False
        self._rest = ""
        """Inside: what may be the beginning of END. Outside: the last characters, passed on already."""

    def calm(self, data: str) -> str:
        """The next piece of input; of a cut END it keeps the beginning until the rest is here."""
        out: list[str] = []
        while data:
            data = self._within(data, out) if self._inside else self._outside(data, out)
        return "".join(out)

    def _outside(self, data: str, out: list[str]) -> str:
        seen = self._rest + data
        at = seen.find(START)
        if at < 0:
            self._rest = seen[-len(START) + 1 :]
            out.append(data)
            return ""
        cut = at + len(START) - len(self._rest)
        out.append(data[:cut])
        self._inside, self._rest = True, ""
        return data[cut:]

    def _within(self, data: str, out: list[str]) -> str:
        data = self._rest + data
        self._rest = ""
        at = data.find(END)
        if at >= 0:
            out += (_shown(data[:at]), END)
            self._inside = False
            return data[at + len(END) :]
        kept = next(n for n in range(len(END) - 1, -1, -1) if data.endswith(END[:n]))
        self._rest = data[len(data) - kept :]
        out.append(_shown(data[: len(data) - kept]))
        return ""


def _shown(text: str) -> str:
    return text.replace("\x1b", SHOWN_ESCAPE)


class CalmParser(XTermParser):
    """Textual's parser takes what follows an escape in a paste for keys that were pressed: it gets none."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._pastes = Pastes()

    def feed(self, data: str) -> Iterable[Message]:
        """As the parser's own; empty data is the end of the input, and only that."""
        calm = self._pastes.calm(data)
        if calm or not data:
            yield from super().feed(calm)


def _forgiving(encoding: str) -> Callable[..., Any]:
    """A decoder for which bytes that are no text are one odd character each, and not the end of the program."""
    return partial(codecs.getincrementaldecoder(encoding), errors="replace")


def guard() -> None:
    """Have the driver of this system read by these; a second call does nothing. Windows sends text already."""
    if sys.platform == "win32":
        return
    from textual.drivers import linux_driver

    # The driver makes both inside its reading loop, which offers no other place to give it ours.
    vars(linux_driver).update(XTermParser=CalmParser, getincrementaldecoder=_forgiving)
