"""Sources and code as they travel: what only people read stays here."""

import io
import itertools
import operator
import tokenize
from types import CodeType
from typing import Final

__all__ = ["lean", "without_columns"]

_STARTS: Final = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
"""What stands before a statement."""

# Of a table of locations (CPython's Objects/locations.md): entries without columns, without a line; most units of one.
_NO_COLUMNS: Final = 0x80 | 13 << 3
_NO_LINE: Final = 0x80 | 15 << 3
_UNITS_MAX: Final = 8


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


def without_columns(code: CodeType) -> CodeType:
    """The same with its lines alone: columns do not pack well."""
    inner = tuple(
        without_columns(each) if isinstance(each, CodeType) else each for each in code.co_consts
    )
    table = bytearray()
    before = code.co_firstlineno
    for line, ranges in itertools.groupby(code.co_lines(), key=operator.itemgetter(2)):
        left = sum(end - start for start, end, _ in ranges) // 2
        while left:
            units = min(left, _UNITS_MAX)
            left -= units
            if line is None:
                table.append(_NO_LINE | units - 1)
            else:
                table.append(_NO_COLUMNS | units - 1)
                table += _signed(line - before)
                before = line
    return code.replace(co_linetable=bytes(table), co_consts=inner)


def _signed(number: int) -> bytes:
    """A varint of that table: six bits a byte, the lowest first, the sign below them."""
    left = -number << 1 | 1 if number < 0 else number << 1
    found = bytearray()
    while left >= 64:
        found.append(left & 63 | 64)
        left >>= 6
    found.append(left)
    return bytes(found)
