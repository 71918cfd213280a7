"""The one sanitiser: untrusted text to printable text.

Every string that came from a log, a host, a job, a file or a person passes here where it enters the control side, and
again where it is shown. What a terminal would obey becomes visible: C0, DEL, C1, bidi and zero-width controls, line and
paragraph separators, lone surrogates, the byte order mark, tags and variation of the reader's line order.
"""

import re
from typing import NewType

SafeText = NewType("SafeText", str)
"""Text that holds no control of any kind (and, from `clean_lines`, line feeds between lines)."""

LINE_MAX = 4096
"""Longest line that is shown or stored, in characters."""
_CUT_NOTE = 16
"""Room for what a cut line ends in."""
_BLOCK_NOTE = 40
BLOCK_MAX = 1 << 20
"""Longest text of several lines, in characters."""

_CONTROLS = (
    "\\x00-\\x1f\\x7f-\\x9f"  # C0, DEL, C1
    "\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f"  # invisible
    "\\u200b-\\u200f\\u2028-\\u202f\\u2060-\\u206f"  # zero width, bidi, separators
    "\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb"
    "\\U00013430-\\U0001343f\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a"  # format of old scripts, of notes
    "\\ud800-\\udfff\\U000e0000-\\U000e0fff"
)
_UNSAFE = re.compile(f"[{_CONTROLS}]")


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code == 0x09:
        return "    "
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def is_safe(text: str) -> bool:
    """Whether `text` holds nothing that `clean` would change (its length aside)."""
    return _UNSAFE.search(text) is None


def clean(text: str, limit: int = LINE_MAX) -> SafeText:
    """One printable line of at most `limit` characters; a longer one ends in an ellipsis with what is missing."""
    shown = text[:limit]
    if _UNSAFE.search(shown):
        shown = _UNSAFE.sub(_visible, shown)
    if len(text) <= limit and len(shown) <= limit:
        return SafeText(shown)
    if limit < _CUT_NOTE:
        return SafeText(shown[:limit])
    kept = limit - _CUT_NOTE
    return SafeText(f"{shown[:kept]}… (+{max(len(text), len(shown)) - kept})")


def clean_lines(text: str, limit: int = BLOCK_MAX, line_limit: int = LINE_MAX) -> SafeText:
    """Printable text that keeps its line feeds; CR LF counts as one, at most `limit` characters in all."""
    lines = text[:limit].replace("\r\n", "\n").split("\n")
    shown = "\n".join(clean(line, line_limit) for line in lines)
    if len(text) <= limit and len(shown) <= limit:
        return SafeText(shown)
    if limit < _BLOCK_NOTE:
        return SafeText(shown[:limit])
    kept = limit - _BLOCK_NOTE
    return SafeText(f"{shown[:kept]}\n… {max(len(text), len(shown)) - kept} characters more")


def one_line(text: str, limit: int = 200) -> SafeText:
    """The first line of `text`, printable, for a table cell or a message."""
    return clean(text.strip().split("\n", 1)[0], limit)
