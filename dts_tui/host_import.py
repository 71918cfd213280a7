"""Hosts of files that other programs keep: of which kind a file is, and what an import comes to. No Textual here."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Final

import msgspec

from dts_core.plain import words
from dts_core.plain.operations import changes
from dts_core.text import clean
from dts_tui.draw import Line, wrap

SSH_CONFIG, INVENTORY, TABLE, KNOWN_KEYS = "ssh config", "inventory", "table", "known hosts"
DETECTED: Final = "detected"
"""Chosen in the form: the file itself tells its kind."""
OPTIONS: Final = {
    SSH_CONFIG: "--ssh-config", INVENTORY: "--inventory", TABLE: "--csv", KNOWN_KEYS: "--known-hosts",
}  # fmt: skip
"""Kind of a file -> the option of `dts vhost import` that takes it."""
_ENDINGS: Final = {".csv": TABLE, ".yml": INVENTORY, ".yaml": INVENTORY, ".ini": INVENTORY}
_LOOKS: Final = (
    (KNOWN_KEYS, re.compile(r"^(@\S+ +)?\S+ +(ssh|ecdsa|sk)-\S+ +AAAA", re.MULTILINE)),
    (SSH_CONFIG, re.compile(r"^\s*(host|match)[\s=]+\S", re.MULTILINE | re.IGNORECASE)),
    (INVENTORY, re.compile(r"^---|^\[\S+\]\s*$|\bansible_\w+\s*[=:]|^all:", re.MULTILINE)),
    (TABLE, re.compile(r"\A\W*(name|host|address)\s*[,;]", re.IGNORECASE)),
)
SHOWN_MOST: Final = 2_000
"""Hosts that a plan spells out; more are counted."""


class Told(msgspec.Struct, frozen=True):
    """What `dts vhost import --json` tells."""

    create: dict[str, dict[str, Any]] = {}
    change: dict[str, dict[str, Any]] = {}
    same: list[str] = []
    refused: dict[str, str] = {}
    unpinned: list[str] = []
    notes: dict[str, list[str]] = {}
    """By host; those of whole files under the empty name."""
    done: int = 0


class Import(msgspec.Struct, frozen=True):
    """An import that is under way.

    Attributes:
        texts: What was typed into its form.
        words: Of the command, without what says whether anything is written.
        digests: Of its files, as they were when the plan was made.
        plan: What is to be done.
    """

    texts: Mapping[str, Any]
    words: Sequence[str]
    digests: Mapping[str, str]
    plan: Told


def kind_of(name: str, text: str) -> str:
    """Which kind a file is, by its name, else by how it begins; empty where neither tells."""
    path = PurePath(name)
    if path.name.startswith("known_hosts"):
        return KNOWN_KEYS
    if path.suffix.lower() in _ENDINGS:
        return _ENDINGS[path.suffix.lower()]
    return next((kind for kind, look in _LOOKS if look.search(text)), "")


def words_of(files: Mapping[str, str], user: str, names: Sequence[str]) -> list[str]:
    """The command for files and their kinds."""
    out = ["vhost", "import"]
    for path, kind in files.items():
        out.append(f"{OPTIONS[kind]}={path}")
    return [*out, *([f"--user={user}"] if user else []), *(["--", *names] if names else [])]


def counted(plan: Told) -> str:
    """A plan in one line."""
    parts = [
        f"{words.count(len(plan.create))} to create", f"{words.count(len(plan.change))} to change",
        f"{words.count(len(plan.same))} the same", f"{words.count(len(plan.refused))} refused",
    ]  # fmt: skip
    return ", ".join(parts)


def plan_lines(plan: Told, width: int) -> list[Line]:
    """Each host with what is written of it, then those that are refused, and what is not taken."""
    out = _notes(plan.notes.get("", []), " ", width)
    given = [("+ ", "good", plan.create), ("~ ", "warn", plan.change)]
    hosts = [
        (mark, style, name, told) for mark, style, each in given for name, told in each.items()
    ]
    for mark, style, name, told in hosts[:SHOWN_MOST]:
        out.append([(f" {mark}", style), (clean(name, 120), "strong")])
        for line in changes(told):
            text = line.replace(": null -> ", ": ", 1) if mark == "+ " else line
            out += _folded(clean(text, 400), "   ", "text", width)
        out += _notes(plan.notes.get(name, []), "   ", width)
    if len(hosts) > SHOWN_MOST:
        out.append([(f" and {words.count(len(hosts) - SHOWN_MOST)} more", "dim")])
    for name, why in list(plan.refused.items())[:SHOWN_MOST]:
        out += _folded(f"✗ {clean(name, 120)}: {clean(why, 600)}", " ", "bad", width)
    return out or [[(" every host is as the files tell: there is nothing to do", "good")]]


def _notes(notes: Sequence[str], indent: str, width: int) -> list[Line]:
    return [
        line for each in notes for line in _folded(f"▲ {clean(each, 600)}", indent, "warn", width)
    ]


def _folded(text: str, indent: str, style: str, width: int) -> list[Line]:
    return [[(indent + line, style)] for line in wrap(text, max(width - len(indent) - 1, 10))]
