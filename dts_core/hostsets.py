"""Sets of host names as people write them: `web-[1-3],db-[01-10],cache` folded and unfolded."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from dts_core.errors import InvalidInput

__all__ = ["RANGES_MAX", "fold", "pattern", "split_names", "unfold"]

UNFOLDED_MAX: Final = 10_000
"""Most names that one folded name stands for."""
RANGES_MAX: Final = 16
"""Most ranges of one folded name."""
_RANGES: Final = re.compile(r"\[([0-9,-]+)\]")
_LAST_NUMBER: Final = re.compile(r"^(.*?)(\d+)(\D*)$")


def split_names(text: str) -> list[str]:
    """The names of a list with commas or blanks between them; commas within brackets belong to their name."""
    return [part for part in re.split(r"[,\s]+(?![^\[]*\])", text) if part]


def unfold(name: str) -> list[str]:
    """All names that a folded one stands for, in its order; itself when nothing in it is folded.

    Raises:
        InvalidInput: A range is none, there are too many of them, or more than UNFOLDED_MAX names.
    """
    if name.count("[") > RANGES_MAX:
        raise _wrong(name, f"it has more than {RANGES_MAX} ranges")
    found = _RANGES.search(name)
    if found is None:
        if "[" in name or "]" in name:
            raise _wrong(name, "a range in it is none: write web-[1-20] or web-[1,4-6]")
        return [name]
    head, tail = name[: found.start()], unfold(name[found.end() :])
    names: list[str] = []
    for number in _numbers(name, found[1]):
        names += [f"{head}{number}{rest}" for rest in tail]
        if len(names) > UNFOLDED_MAX:
            raise _wrong(name, f"it stands for more than {UNFOLDED_MAX} hosts")
    return names


def _numbers(name: str, ranges: str) -> Iterator[str]:
    for each in ranges.split(","):
        first, dash, last = each.partition("-")
        last = last if dash else first
        if not first.isdecimal() or not last.isdecimal() or len(last) > 9 or len(first) > 9:
            raise _wrong(name, "a range in it is none: write web-[1-20] or web-[1,4-6]")
        if int(last) < int(first):
            raise _wrong(name, f"the range {each} runs backwards")
        if int(last) - int(first) >= UNFOLDED_MAX:
            raise _wrong(name, f"it stands for more than {UNFOLDED_MAX} hosts")
        width = len(first) if first.startswith("0") else 0
        yield from (f"{number:0{width}d}" for number in range(int(first), int(last) + 1))


def _wrong(name: str, why: str) -> InvalidInput:
    return InvalidInput(f"host {name[:80]!r}: {why}.", fields={"hosts": why})


@lru_cache(maxsize=64)
def pattern(text: str) -> re.Pattern[str]:
    """Matches names: `*` stands for any characters, `?` for one."""
    first, *rest = (re.escape(part).replace(r"\?", ".") for part in re.split(r"\*+", text))
    if not rest:
        return re.compile(first, re.DOTALL)
    # What stands between two stars is taken where it comes first, and never tried again elsewhere.
    between = "".join(f"(?>.*?{part})" for part in rest[:-1])
    return re.compile(f"{first}{between}.*{rest[-1]}", re.DOTALL)


def fold(names: Iterable[str]) -> str:
    """The names as short as they can be told, sorted: those that differ in their last number are one with ranges."""
    groups: defaultdict[tuple[str, str, int], set[int]] = defaultdict(set)
    plain = set()
    for name in names:
        found = _LAST_NUMBER.match(name)
        if found is None or len(found[2]) > 9:
            plain.add(name)
            continue
        digits = found[2]
        width = len(digits) if digits.startswith("0") else 0
        groups[found[1], found[3], width].add(int(digits))
    _join_widths(groups)
    folded = [_folded(*key, numbers) for key, numbers in groups.items()]
    return ",".join(sorted([*plain, *folded]))


def _join_widths(groups: "defaultdict[tuple[str, str, int], set[int]]") -> None:
    """Numbers of as many digits go with those that have zeros before them: 10 with 08, 09."""
    for head, tail, width in [key for key in groups if key[2]]:
        bare = groups.get((head, tail, 0), set())
        fitting = {number for number in bare if len(str(number)) == width}
        groups[head, tail, width] |= fitting
        bare -= fitting
        if not bare:
            groups.pop((head, tail, 0), None)


def _folded(head: str, tail: str, width: int, numbers: set[int]) -> str:
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    told = ",".join(
        f"{first:0{width}d}" if first == last else f"{first:0{width}d}-{last:0{width}d}"
        for first, last in runs
    )
    return f"{head}{told}{tail}" if len(numbers) == 1 else f"{head}[{told}]{tail}"
