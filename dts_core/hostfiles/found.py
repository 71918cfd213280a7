"""What a file tells of hosts, before any of it is written: hosts, notes for people, wrong lines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from dts_core.names import is_host
from dts_core.text import clean

__all__ = ["FILE_MAX", "HOSTS_MAX", "Findings", "FoundHost", "Mistake", "Read", "port_of"]

FILE_MAX: Final = 4 << 20
"""Bytes of one file."""
HOSTS_MAX: Final = 10_000
"""Most hosts of one import."""
_ID_MAX: Final = 120
_PORT_MAX: Final = 65_535
Read: TypeAlias = Callable[[Path], str]
"""Gives the text of a file. Raises ConfigError where there is none."""


class Mistake(NamedTuple):
    """What is wrong with one line of a file."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        return clean(f"{self.file}, line {self.line}: {self.why}", 1_000)


class FoundHost(msgspec.Struct, frozen=True, kw_only=True):
    """A host as a file tells of it. Untrusted text."""

    name: str
    """Which its virtual host will have as id."""
    where: str
    """File and line, for people."""
    fields: dict[str, Any]
    """Of a virtual host; only those that the file tells."""
    known_as: str = ""
    """The name that known_hosts has its keys under; empty: its address."""
    groups: tuple[str, ...] | None = None
    """Groups that it is in; None: of a file that knows none."""
    notes: tuple[str, ...] = ()
    """What is not taken of it, and what to do instead."""
    refused: str = ""
    """Why nothing of it is taken; empty: it is."""


class Findings:
    """Collects what files tell.

    Attributes:
        hosts: By name, in their order.
        notes: What is not taken of whole files.
        mistakes: Lines that are none of such a file.
    """

    def __init__(self) -> None:
        self.hosts: dict[str, FoundHost] = {}
        self.notes: list[str] = []
        self.mistakes: list[Mistake] = []

    def wrong(self, file: str, line: int, why: str) -> None:
        """A line is no such line."""
        self.mistakes.append(Mistake(file, line, why))

    def add(self, host: FoundHost) -> None:
        """Take a host; of two of one name, both are refused, since nobody can tell which one is meant."""
        before = self.hosts.get(host.name)
        if before is not None and before.fields != host.fields:
            why = f"{host.where} and {before.where} tell of it in two ways: leave one of them out"
            host = msgspec.structs.replace(before, refused=before.refused or why)
        elif not host.refused and not _is_id(host.name):
            why = "its name cannot be that of a virtual host: letters, digits, dot, dash and _, at most 120"
            host = msgspec.structs.replace(host, refused=why)
        elif before is None and len(self.hosts) == HOSTS_MAX:
            why = f"{HOSTS_MAX} hosts are read at once, and this is one more"
            host = msgspec.structs.replace(host, refused=why)
        self.hosts[host.name] = host

    def merge(self, other: "Findings") -> None:
        """Take all that another file told."""
        self.notes += other.notes
        self.mistakes += other.mistakes
        for host in other.hosts.values():
            self.add(host)


def _is_id(name: str) -> bool:
    return len(name) <= _ID_MAX and is_host(name)


def port_of(text: str) -> int | None:
    """The port that a text is; None when it is none."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= 5
    return int(text) if is_number and 1 <= int(text) <= _PORT_MAX else None
