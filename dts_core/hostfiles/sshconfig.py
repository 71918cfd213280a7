"""The lines of an ssh_config file, with those that it includes, and what of them counts for a name.

Not asyncssh's reader: that one runs the commands of `Match exec`, leaves a `Host` block at an `Include`, and follows
includes without end. Here nothing is run, and what would have to be is told of.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dts_core.errors import ConfigError
from dts_core.hostfiles.found import Findings, Read
from dts_core.hostsets import pattern

__all__ = ["ConfigLines", "Setting", "matches", "read_lines"]

DEPTH_MAX: Final = 16
"""As ssh has it."""
FILES_MAX: Final = 256
_LINE: Final = re.compile(r"([A-Za-z][A-Za-z0-9]*)(?:\s*=\s*|\s+)(.*)")
_WANTED: Final = (
    "hostname", "port", "user", "proxyjump", "proxycommand", "identityfile", "hostkeyalias",
)  # fmt: skip
_RAW: Final = ("proxycommand",)
"""Their value is the rest of the line."""
_SAME: Final = {"proxyjump": "way", "proxycommand": "way"}
"""The first of both counts."""


class Setting(NamedTuple):
    """One line that counts where all its conditions hold."""

    option: str
    value: str
    file: str
    line: int
    under: "tuple[Condition, ...]"


class Condition(NamedTuple):
    """Of a `Host` or `Match` line."""

    kind: str
    """host: of the name; address: of what it stands for; never"""
    patterns: tuple[str, ...] = ()

    def holds(self, name: str, address: str) -> bool:
        """Whether it does for a name that stands for an address."""
        if self.kind == "never":
            return False
        return matches(self.patterns, address if self.kind == "address" else name)


class ConfigLines(NamedTuple):
    """Everything that was read."""

    settings: list[Setting]
    names: dict[str, tuple[str, int]]
    """Names that `Host` lines spell out -> file and line."""

    def knows(self, name: str) -> bool:
        """Whether a `Host` line means it, other than one that means every name."""
        return name in self.names or any(
            each.kind == "host" and each.patterns != ("*",) and each.holds(name, name)
            for setting in self.settings
            for each in setting.under
        )

    def of(self, name: str) -> dict[str, Setting]:
        """Option -> the setting that counts for a name: the first one whose conditions hold."""
        found: dict[str, Setting] = {}
        address = name
        for setting in self.settings:
            slot = _SAME.get(setting.option, setting.option)
            if slot in found or not all(each.holds(name, address) for each in setting.under):
                continue
            found[slot] = setting
            if slot == "hostname":
                address = setting.value.replace("%h", name).replace("%%", "%")
        return found


def read_lines(path: Path, read: Read, findings: Findings) -> ConfigLines:
    """Read a file with all that it includes.

    Args:
        path: The file; what it includes by a relative name lies beside it.
        read: Reads a file.
        findings: Takes what is wrong, and what is not taken.

    Raises:
        ConfigError: The file itself cannot be read.
    """
    reader = _Reader(read, findings, path.parent)
    reader.take(path, str(path), (), 0)
    return ConfigLines(reader.settings, reader.names)


class _Reader:
    def __init__(self, read: Read, findings: Findings, folder: Path) -> None:
        self.settings: list[Setting] = []
        self.names: dict[str, tuple[str, int]] = {}
        self._read = read
        self._findings = findings
        self._folder = folder
        self._files = 0

    def take(self, path: Path, shown: str, outer: tuple[Condition, ...], depth: int) -> None:
        """The lines of a file, each under the conditions of whoever includes it and those of its block."""
        self._files += 1
        under = outer
        for number, option, rest in self._lines(self._read(path), shown):
            if option == "host":
                patterns = tuple(self._words(shown, number, rest))
                self._name(patterns, shown, number)
                under = (*outer, Condition("host", patterns))
            elif option == "match":
                under = (*outer, *self._match(shown, number, rest))
            elif option == "include":
                self._include(shown, number, rest, under, depth)
            elif option in _WANTED:
                self._setting(Setting(option, rest, shown, number, under))

    def _lines(self, text: str, shown: str) -> Iterator[tuple[int, str, str]]:
        for number, line in enumerate(text.split("\n"), 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            found = _LINE.fullmatch(line)
            if found is None:
                self._findings.wrong(shown, number, "it is no setting: OPTION VALUE is expected")
                continue
            yield number, found[1].lower(), found[2].strip()

    def _words(self, shown: str, number: int, rest: str) -> list[str]:
        try:
            words = shlex.split(rest)
        except ValueError:
            self._findings.wrong(shown, number, "a quotation mark is not closed")
            return []
        at = next((n for n, word in enumerate(words) if word.startswith("#")), len(words))
        if not words[:at]:
            self._findings.wrong(shown, number, "its value is missing")
        return words[:at]

    def _setting(self, setting: Setting) -> None:
        if setting.option in _RAW:
            self.settings.append(setting)
        elif words := self._words(setting.file, setting.line, setting.value):
            self.settings.append(setting._replace(value=words[0]))

    def _name(self, patterns: Sequence[str], shown: str, number: int) -> None:
        for each in patterns:
            if not any(sign in each for sign in "*?!"):
                self.names.setdefault(each, (shown, number))

    def _match(self, shown: str, number: int, rest: str) -> list[Condition]:
        words, found = self._words(shown, number, rest), []
        rest_of_it = iter(words)
        for word in rest_of_it:
            kind = {"host": "address", "originalhost": "host"}.get(word.lower())
            if word.lower() == "all":
                continue
            if kind is None:
                self._findings.notes.append(
                    f"{shown}, line {number}: `Match {word}` is not looked at here: what stands below it is left out"
                )
                return [Condition("never")]
            found.append(Condition(kind, tuple(next(rest_of_it, "").split(","))))
        return found

    def _include(
        self, shown: str, number: int, rest: str, under: tuple[Condition, ...], depth: int
    ) -> None:
        if depth >= DEPTH_MAX:
            self._findings.wrong(shown, number, f"files include each other {DEPTH_MAX} deep")
            return
        for word in self._words(shown, number, rest):
            for path in self._paths(word):
                if self._files >= FILES_MAX:
                    self._findings.wrong(shown, number, f"more than {FILES_MAX} files are included")
                    return
                try:
                    self.take(path, str(path), under, depth + 1)
                except ConfigError as error:
                    self._findings.wrong(shown, number, f"what it includes: {error}")

    def _paths(self, word: str) -> list[Path]:
        """Files that a word of an `Include` stands for, sorted; none where there is none, as for ssh."""
        try:
            path = Path(word).expanduser() if word.startswith("~") else self._folder / word
            base = Path(path.anchor) if path.is_absolute() else Path()
            parts = path.parts[1:] if path.is_absolute() else path.parts
            return sorted(each for each in base.glob("/".join(parts)) if each.is_file())
        except (ValueError, NotImplementedError, RuntimeError, OSError):
            return []  # no name of files


def matches(patterns: Sequence[str], name: str) -> bool:
    """Whether a list of patterns takes a name: one of them does, and none behind a `!` does."""

    def fits(each: str) -> bool:
        return pattern(each.lower()).fullmatch(name.lower()) is not None

    if any(fits(each[1:]) for each in patterns if each.startswith("!")):
        return False
    return any(fits(each) for each in patterns if not each.startswith("!"))
