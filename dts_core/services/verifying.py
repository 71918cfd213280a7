"""Reading the whole audit, record by record, and telling what is not as it was written.

What is kept meanwhile grows with the number of chains, which is that of processes, and not with that of records.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from dts_core.model import ChainHead
from dts_core.services.chains import NO_LINK, Link, link_of
from dts_core.stores.base import Recorded
from dts_core.stores.fields import micros
from dts_core.stores.operations import readable
from dts_core.text import clean
from dts_core.views.operations import UNCHAINED, Finding, Unchained

REMEMBERED: Final = 10_000
"""Digests of the newest records that later ones may name; a name of an older one is not compared."""
FINDINGS_KEPT: Final = 10_000
"""Most findings, and most missing numbers, that are kept one by one; all are counted."""


@dataclass
class _Seen:
    """What was read of one chain."""

    head: ChainHead
    expected: int = 0
    """The highest number that somebody names."""
    by: str = ""
    """Who does."""
    missing: set[int] = field(default_factory=set)


class Reading:
    """One reading of the audit. Give it every record by position, then ask for the findings.

    Args:
        heads: Heads that are known from elsewhere, each with who knows it.
        unchained: Of a checkpoint.
    """

    def __init__(
        self, heads: Iterable[tuple[ChainHead, str]] = (), unchained: Unchained | None = None
    ) -> None:
        self.records = 0
        self.unchained = 0
        self.total = 0
        """How many findings there are, also beyond those that are kept."""
        self._findings: list[Finding] = []
        self._chains: dict[str, _Seen] = {}
        self._missing = 0
        self._digests: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._awaited = {(head.chain, head.number): (head, by) for head, by in heads}
        self._edited: set[tuple[str, int]] = set()
        self._moved: dict[int, Link] = {}
        self._known_unchained = unchained or Unchained()
        self._unchained = hashlib.sha256()

    def read(self, record: Recorded) -> None:
        """The next record."""
        self.records += 1
        link = link_of(record.content)
        if link is None:
            self._read_edited(record)
        elif not link.chain:
            self._read_unchained(record)
        else:
            self._compare_beside(record, link)
            self._order(record, link, self._chain(link.chain))
            self._remember(link)
            for head in link.heads:
                by = f"record {record.position}"
                self._compare(record.position, head, by)
                self._expect(head, by)

    def end(self) -> list[Finding]:
        """Everything that was found; nothing may be read any more."""
        for head, by in self._awaited.values():
            self._expect(head, by)
        for position, link in self._moved.items():
            self._tell_moved(position, link)
        for chain, seen in self._chains.items():
            for number in seen.missing:
                self._find("removed", 0, chain, number, f"{_nth(chain, number)} is not there.")
            if seen.expected > seen.head.number:
                self._tell_cut(chain, seen)
        if self.unchained < self._known_unchained.count:
            text = (
                f"of {self._known_unchained.count} records without a chain that the checkpoint knows "
                f"{self.unchained} are there."
            )
            self._find("cut", 0, "", 0, text)
        return sorted(self._findings, key=lambda found: (found.position, found.chain, found.number))

    def heads(self) -> list[ChainHead]:
        """The newest record of each chain."""
        return [seen.head for _, seen in sorted(self._chains.items()) if seen.head.number]

    def unchained_digest(self) -> Unchained:
        """What stands for the records without chains."""
        return Unchained(count=self.unchained, digest=self._unchained.hexdigest())

    def _read_unchained(self, record: Recorded) -> None:
        self._compare_beside(record, NO_LINK)
        self.unchained += 1
        self._unchained.update(hashlib.sha256(record.content).digest())
        known = self._known_unchained
        if known.count == self.unchained and known.digest != self._unchained.hexdigest():
            text = "the records without a chain up to here are others than those of the checkpoint."
            self._find("edited", record.position, "", 0, text)
        if self._chains and self.unchained > known.count:
            text = "it has no chain, though records before it do: added, or by an older version."
            self._find(UNCHAINED, record.position, "", 0, text)

    def _read_edited(self, record: Recorded) -> None:
        """Its content is not what its digest says. What it says of its place may still be so."""
        told = readable(record)
        self._find("edited", record.position, told.chain, told.number, "its content was changed.")
        seen = self._chain(told.chain) if told.chain else None
        # An edited number leaves a gap behind; only what fits there stands for it.
        if seen is None or told.number not in (seen.head.number + 1, *seen.missing):
            return
        link = Link(
            chain=told.chain, number=told.number, position=record.position, digest=told.digest
        )
        if len(self._edited) < FINDINGS_KEPT:
            self._edited.add((link.chain, link.number))
        self._advance(link, seen)
        self._remember(link)

    def _compare_beside(self, record: Recorded, link: Link) -> None:
        """What the store says of it beside its content has to be the same."""
        told = readable(record)
        at = micros(told.timestamp)
        beside = (told.id, told.collection, told.doc_id, told.operator, at)
        if link.position not in (NO_LINK.position, record.position):
            if len(self._moved) < FINDINGS_KEPT:
                self._moved[record.position] = link
        elif beside != record[1:6]:
            text = "what the store says of it beside its content was changed."
            self._find("edited", record.position, link.chain, link.number, text)

    def _order(self, record: Recorded, link: Link, seen: _Seen) -> None:
        head, number = seen.head, link.number
        if number == head.number + 1:
            if link.previous != head.digest and (link.chain, head.number) not in self._edited:
                text = f"{_nth(link.chain, number)} was written after another record than this one."
                self._find("edited", head.position, link.chain, head.number, text)
        elif number > head.number:
            self._miss(link, seen)
        elif number not in seen.missing:
            text = f"{_nth(link.chain, number)} is there twice."
            self._find("doubled", record.position, link.chain, number, text)
        self._advance(link, seen)

    def _miss(self, link: Link, seen: _Seen) -> None:
        first, last = seen.head.number + 1, link.number - 1
        if self._missing + last - first < FINDINGS_KEPT:
            seen.missing.update(range(first, last + 1))
            self._missing += last - first + 1
        else:
            text = f"numbers {first} to {last} of chain {clean(link.chain, 60)} are not there."
            self._find("removed", 0, link.chain, first, text)

    def _advance(self, link: Link, seen: _Seen) -> None:
        if link.number in seen.missing:
            seen.missing.remove(link.number)
            self._missing -= 1
        if link.number > seen.head.number:
            seen.head = link.head

    def _remember(self, link: Link) -> None:
        key = (link.chain, link.number)
        self._digests[key] = link.digest
        if len(self._digests) > REMEMBERED:
            self._digests.popitem(last=False)
        if key in self._awaited:
            head, by = self._awaited.pop(key)
            self._compare(link.position, head, by)

    def _compare(self, position: int, head: ChainHead, by: str) -> None:
        key = (head.chain, head.number)
        digest = self._digests.get(key)
        if digest not in (None, head.digest) and key not in self._edited:
            text = f"{_nth(*key)} is another record than the one that {by} names."
            self._find("edited", position, head.chain, head.number, text)

    def _expect(self, head: ChainHead, by: str) -> None:
        seen = self._chain(head.chain)
        if head.number > seen.expected:
            seen.expected, seen.by = head.number, by

    def _tell_moved(self, position: int, link: Link) -> None:
        other = self._moved.get(link.position)
        if other is not None and other.position == position:
            text = f"it and the record at {link.position} were given each other's places."
            self._find("swapped", position, link.chain, link.number, text)
        else:
            text = f"it was written at position {link.position}."
            self._find("reordered", position, link.chain, link.number, text)

    def _tell_cut(self, chain: str, seen: _Seen) -> None:
        there = f"it ends at {seen.head.number}" if seen.head.number else "nothing of it is there"
        text = f"chain {clean(chain, 60)} was cut: {there}; {seen.by} names number {seen.expected}."
        self._find("cut", 0, chain, seen.head.number + 1, text)

    def _chain(self, chain: str) -> _Seen:
        if chain not in self._chains:
            nothing = ChainHead(chain=chain, number=0, position=0, digest="")
            self._chains[chain] = _Seen(nothing)
        return self._chains[chain]

    def _find(self, kind: str, position: int, chain: str, number: int, text: str) -> None:
        self.total += 1
        if len(self._findings) < FINDINGS_KEPT:
            chain = clean(chain, 60)
            found = Finding(kind=kind, position=position, chain=chain, number=number, text=text)
            self._findings.append(found)


def _nth(chain: str, number: int) -> str:
    return f"number {number} of chain {clean(chain, 60)}"
