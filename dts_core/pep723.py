"""What a function's source says of its packages: the comment block `# /// script` of PEP 723.

Source: https://peps.python.org/pep-0723/, https://packaging.python.org/specifications/inline-script-metadata/.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import tomli

from dts_core.errors import FunctionRefused
from dts_core.text import clean, one_line

DEPENDENCIES_MAX: Final = 200
REQUIREMENT_MAX: Final = 1_000
"""Longest requirement, in characters."""
BLOCK_MAX: Final = 64 << 10
"""Longest block, in characters."""
MARK: Final = "# /// script"
"""A source without these characters declares nothing."""
CLOSING: Final = "# ///"
ADVICE: Final = "Correct the block `# /// script` (PEP 723) and save again."
_OPENING: Final = re.compile(r"# /// ([a-zA-Z0-9-]+)")


class Script(msgspec.Struct, frozen=True):
    """What a block declares."""

    requires_python: str = ""
    """As a version specifier, normalised; empty: any."""
    dependencies: list[str] = []
    """Requirements (PEP 508), normalised, sorted, each once."""

    def fits(self, python: str) -> bool:
        """Whether an interpreter of this version, as `3.11.7`, will do; `3.11.7+` was built from later sources."""
        from packaging.specifiers import SpecifierSet  # workers rarely need it

        plain = python.removesuffix("+")
        return SpecifierSet(self.requires_python).contains(plain, prereleases=True)


class _Block(msgspec.Struct, frozen=True):
    """A block of one type; `line` is that of its opening, from 1."""

    type: str
    line: int
    content: list[str] | None
    """None: it is never closed."""


def read_script(source: str) -> Script | None:
    """The declarations of a source; None when it has none. A block that is not closed is none, as the PEP says.

    Raises:
        FunctionRefused: The block is wrong, or there are two; names each line with its reason.
    """
    if MARK not in source:
        return None
    found = [block for block in _blocks(source) if block.type == "script" and block.content]
    if not found:
        return None
    if len(found) > 1:
        raise _refused([(found[1].line, f"a second block; the first is at line {found[0].line}")])
    return _Reader(found[0]).script()


def refuse_unclosed(source: str) -> None:
    """Tell an author that a block has no end, which would leave it without effect.

    Raises:
        FunctionRefused: There is such a block.
    """
    if MARK not in source:
        return
    wrong = [
        (block.line, f"the block has no closing line `{CLOSING}`")
        for block in _blocks(source)
        if block.type == "script" and block.content is None
    ]
    if wrong:
        raise _refused(wrong[:1])


def _refused(mistakes: list[tuple[int, str]]) -> FunctionRefused:
    told = "; ".join(f"line {line}: {why}" for line, why in sorted(mistakes)[:10])
    return FunctionRefused(f"the source's script block is wrong: {told}.", advice=ADVICE)


def _blocks(source: str) -> Iterator[_Block]:
    """Every block. Of a run of comment lines the last closing line counts, so a run holds one block at most."""
    lines = [line.removesuffix("\r") for line in source.split("\n")]
    first = 0
    while first < len(lines):
        if not _is_comment(lines[first]):
            first += 1
            continue
        end = first
        while end < len(lines) and _is_comment(lines[end]):
            end += 1
        yield from _in_run(lines, first, end)
        first = end


def _is_comment(line: str) -> bool:
    return line == "#" or line.startswith("# ")


def _in_run(lines: list[str], first: int, end: int) -> Iterator[_Block]:
    run = lines[first:end]
    closing = len(run) - 1 - run[::-1].index(CLOSING) if CLOSING in run else -1
    for at, line in enumerate(run):
        opening = _OPENING.fullmatch(line)
        if opening is None:
            continue
        if at < closing - 1:
            content = [each[2:] for each in run[at + 1 : closing]]
            yield _Block(opening[1], first + at + 1, content)
            return
        yield _Block(opening[1], first + at + 1, [] if at < closing else None)


class _Reader:
    """Reads one block, and gathers what is wrong with it."""

    def __init__(self, block: _Block) -> None:
        self._block = block
        self._content = block.content or []
        self._mistakes: list[tuple[int, str]] = []

    def script(self) -> Script:
        """What it declares.

        Raises:
            FunctionRefused: Something in it is wrong.
        """
        tables = self._tables()
        requires = self._python(tables.get("requires-python", ""))
        dependencies = self._dependencies(tables.get("dependencies", []))
        if self._mistakes:
            raise _refused(self._mistakes)
        return Script(requires, dependencies)

    def _tables(self) -> dict[str, Any]:
        text = "\n".join(self._content)
        if len(text) > BLOCK_MAX:
            raise _refused([(self._block.line, f"it has more than {BLOCK_MAX} characters")])
        try:
            return tomli.loads(text)
        except tomli.TOMLDecodeError as error:
            line = self._block.line + error.lineno
            raise _refused([(line, f"not TOML: {one_line(error.msg)}")]) from error
        except RecursionError as error:
            raise _refused([(self._block.line, "it is nested too deeply")]) from error

    def _python(self, value: Any) -> str:
        if not isinstance(value, str):
            return self._wrong("requires-python", 'requires-python must be text, as ">=3.11"')
        from packaging.specifiers import InvalidSpecifier, SpecifierSet

        try:
            return str(SpecifierSet(value))
        except InvalidSpecifier:
            return self._wrong(
                "requires-python",
                f'requires-python: {clean(value, 80)!r} is no version specifier, as ">=3.11"',
            )

    def _dependencies(self, value: Any) -> list[str]:
        if not isinstance(value, list):
            self._wrong("dependencies", 'dependencies must be a list, as ["requests>=2"]')
            return []
        if len(value) > DEPENDENCIES_MAX:
            self._wrong("dependencies", f"more than {DEPENDENCIES_MAX} dependencies")
            return []
        return sorted({self._requirement(each) for each in value})

    def _requirement(self, value: Any) -> str:
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.utils import canonicalize_name

        if not isinstance(value, str) or len(value) > REQUIREMENT_MAX:
            most = REQUIREMENT_MAX
            return self._wrong(
                "dependencies", f"each dependency is text of at most {most} characters"
            )
        try:
            found = Requirement(value)
        except InvalidRequirement as error:
            why = one_line(str(error), 120).rstrip(".")
            return self._wrong(value, f"{clean(value, 80)!r} is no requirement: {why}")
        found.name = canonicalize_name(found.name)
        return str(found)

    def _wrong(self, where: str, why: str) -> str:
        """Note a mistake at the first line that holds `where`, else at the block's own."""
        holding = (at for at, line in enumerate(self._content, 1) if where and where in line)
        self._mistakes.append((self._block.line + next(holding, 0), why))
        return ""
