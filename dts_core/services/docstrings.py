"""What a docstring says: a summary, and a line for each parameter, in the Google, NumPy or Sphinx manner."""

import re
from typing import NamedTuple

from dts_core.text import clean, clean_lines

SUMMARY_MAX = 300
HELP_MAX = 1000
DOC_MAX = 20_000

_SPHINX = re.compile(
    r"^:(?:param|parameter|arg|argument|key|keyword)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)$"
)
_GOOGLE_HEAD = re.compile(
    r"^(?:Args|Arguments|Parameters|Params|Keyword Args|Keyword Arguments|Other Parameters):\s*$"
)
_GOOGLE_ITEM = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY_HEAD = re.compile(r"^(?:Parameters|Other Parameters)\s*$")
_NUMPY_ITEM = re.compile(r"^(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_RULE = re.compile(r"^-{3,}\s*$")


class Documentation(NamedTuple):
    """A docstring's parts, all printable."""

    summary: str
    text: str
    parameters: dict[str, str]


def read_docstring(docstring: str) -> Documentation:
    """Take a docstring (already dedented) apart; a part that is not there is empty."""
    text = clean_lines(docstring.strip(), DOC_MAX)
    lines = text.split("\n")
    parameters: dict[str, str] = {}
    for found in (_google(lines), _numpy(lines), _sphinx(lines)):
        for name, help_text in found.items():
            parameters.setdefault(name, clean(help_text, HELP_MAX))
    first = text.split("\n\n", 1)[0]
    summary = "" if _SPHINX.match(first) or _GOOGLE_HEAD.match(first) else " ".join(first.split())
    return Documentation(clean(summary, SUMMARY_MAX), text, parameters)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _google(lines: list[str]) -> dict[str, str]:
    """Items indented below a head such as `Args:`; deeper lines go on with the item above."""
    found: dict[str, str] = {}
    inside, name, base, item = False, "", 0, 0
    for line in lines:
        stripped = line.strip()
        if _GOOGLE_HEAD.match(stripped):
            inside, name, base, item = True, "", _indent(line), 0
        elif not inside or not stripped:
            continue
        elif _indent(line) <= base:
            inside = False
        else:
            item = item or _indent(line)
            match = _GOOGLE_ITEM.match(stripped) if _indent(line) <= item else None
            if match:
                name = match[1]
                found[name] = match[2]
            elif name:
                found[name] = f"{found[name]} {stripped}".strip()
    return found


def _numpy(lines: list[str]) -> dict[str, str]:
    """Names at the margin below `Parameters` and a rule; indented lines are their help."""
    found: dict[str, str] = {}
    inside, names = False, list[str]()
    for at, line in enumerate(lines):
        stripped = line.strip()
        follower = lines[at + 1].strip() if at + 1 < len(lines) else ""
        if _RULE.match(follower):
            inside, names = bool(_NUMPY_HEAD.match(stripped)), []
        elif not inside or not stripped or _RULE.match(stripped):
            continue
        elif _indent(line) == 0:
            match = _NUMPY_ITEM.match(stripped)
            names = [part.strip(" *") for part in match[1].split(",")] if match else []
            found.update(dict.fromkeys(names, ""))
        else:
            for name in names:
                found[name] = f"{found[name]} {stripped}".strip()
    return found


def _sphinx(lines: list[str]) -> dict[str, str]:
    """`:param name: help` fields; indented lines go on with the field above."""
    found: dict[str, str] = {}
    name = ""
    for line in lines:
        stripped = line.strip()
        match = _SPHINX.match(stripped)
        if match:
            name = match[1]
            found[name] = match[2]
        elif stripped.startswith(":") or not stripped:
            name = ""
        elif name and _indent(line):
            found[name] = f"{found[name]} {stripped}".strip()
    return found
