"""What is typed at the beginning of a line to leave a shell, as OpenSSH's client knows it."""

from typing import Final

import msgspec

__all__ = ["HELP", "Escaping", "Typed"]

HELP: Final = "to leave it: Enter ~ . and for a ~ at the beginning of a line: ~ ~"
_ESCAPE: Final = ord("~")
_LINE_ENDS: Final = b"\r\n"


class Typed(msgspec.Struct, frozen=True):
    """What a piece of keys comes to."""

    keys: bytes
    """For the host."""
    leaves: bool = False
    asks_help: bool = False


class Escaping:
    """Reads keys, in pieces however they come."""

    def __init__(self) -> None:
        self._at_begin = True
        self._held = False
        """Whether a ~ waits for what follows it."""

    def feed(self, keys: bytes) -> Typed:
        """Take a piece; what stands behind a leave is dropped."""
        out = bytearray()
        asks_help = False
        for key in keys:
            if self._held:
                self._held = False
                if key == ord("."):
                    return Typed(bytes(out), leaves=True, asks_help=asks_help)
                if key == ord("?"):
                    asks_help, self._at_begin = True, True
                    continue
                if key != _ESCAPE:
                    out.append(_ESCAPE)
            elif key == _ESCAPE and self._at_begin:
                self._held = True
                continue
            out.append(key)
            self._at_begin = key in _LINE_ENDS
        return Typed(bytes(out), asks_help=asks_help)
