"""Sources as they travel: what only people read stays here."""

import io
import itertools
import tokenize
from typing import Final

__all__ = ["lean"]

_STARTS: Final = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
"""What stands before a statement."""


def lean(source: str) -> str:
    """A module without comments and docstrings; every line keeps its number."""
    lines = source.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    before = tokenize.NEWLINE
    cuts: list[tokenize.TokenInfo] = []
    for each, following in itertools.pairwise(tokens):
        is_docstring = each.type == tokenize.STRING and following.type == tokenize.NEWLINE
        if each.type == tokenize.COMMENT or (is_docstring and before in _STARTS):
            cuts.append(each)
        if each.type not in (tokenize.NL, tokenize.COMMENT):
            before = each.type
    for cut in reversed(cuts):
        (first, left), (last, right) = cut.start, cut.end
        put = '""' if cut.type == tokenize.STRING else ""
        tail = lines[last - 1][right:]
        lines[first - 1 : last] = [
            lines[first - 1][:left] + put + "\n" * (last - first) + tail,
            *[""] * (last - first),
        ]
    return "".join(lines)
