"""A document as TOML that a person edits: its text with the help of each field, and what of it was changed.

No Textual here.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any, Final

import tomli

from dts_core.model import Parameter
from dts_core.plain.toml import to_toml
from dts_core.text import clean, clean_lines, is_safe
from dts_core.views import CollectionView
from dts_tui.admin_documents import HAS, Doc

_LINE: Final = re.compile(r"\(at line (\d+)")
_PLACE: Final = re.compile(r"\s*\(at (line \d+, column \d+|end of document)\)$")
_ASIDE: Final = frozenset({"_id", "revision", "created_at", "updated_at"})
"""Fields of a document that nobody gives."""


@dataclass(frozen=True)
class Edited:
    """What a text says.

    Attributes:
        changed: Fields whose value is another one now.
        wrong: Reasons by field; no field is named by an empty name: then it is no TOML at all.
        line: Where it stops being TOML, from 1; 0: it does not.
        values: All that it gives, without secrets.
    """

    changed: dict[str, Any] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    line: int = 0
    values: dict[str, Any] = field(default_factory=dict)


def text_of_document(document: Doc, view: CollectionView) -> str:
    """The fields that can be given, each below its help; secrets are only named.

    Args:
        document: Its fields are written, secrets and what the server adds never.
        view: How the collection is described.
    """
    out = ["# What is left out stays as it is; without a change nothing is stored."]
    out += [_note(f"{each.name}: {_kept(each, document)}") for each in _secrets(view)]
    for each in view.fields:
        if each.type == "secret" or each.name in _ASIDE:
            continue
        out.append("")
        out.append(_note(_help(each)))
        value = document.get(each.name, each.default)
        given = _inert(to_toml({each.name: value})).rstrip("\n")
        out.append(given or f"# {each.name} =")
    return "\n".join(out) + "\n"


def read_edited(text: str, document: Doc, view: CollectionView) -> Edited:
    """What a text changes of a document: a secret, or what nobody gives, is refused here, the rest by the server."""
    try:
        given = tomli.loads(text)
    except (ValueError, RecursionError) as error:
        found = _LINE.search(str(error))
        why = clean(_PLACE.sub("", str(error)), 200) or "it is nested too deep"
        return Edited(wrong={"": why}, line=int(found[1]) if found else text.count("\n") + 1)
    hidden = {each.name for each in _secrets(view)}
    values = {name: _json(value) for name, value in given.items() if name not in hidden}
    wrong = {
        name: "a secret is not given as text: e opens the form, which takes it"
        for name in given
        if name in hidden
    }
    for name in _ASIDE & values.keys():
        if values.pop(name) != document.get(name):
            wrong[name] = "nobody gives this field: it was set by the server"
    known = {each.name: document.get(each.name, each.default) for each in view.fields}
    changed = {
        name: value for name, value in values.items() if name not in known or known[name] != value
    }
    return Edited(changed, wrong, 0, values)


def line_of(text: str, name: str) -> int:
    """The line, from 1, that gives a field or a part of it; 0 when none does."""
    owner = re.escape(_owner(name))
    begins = re.compile(rf'\s*(\[\s*)?"?{owner}"?\s*[=.\]]')
    for number, line in enumerate(text.split("\n"), 1):
        if begins.match(line):
            return number
    return 0


def without_secrets(text: str, edited: Edited, document: Doc, view: CollectionView) -> str:
    """The text, made anew where somebody typed a secret into it: such a text is neither kept nor written."""
    hidden = {each.name for each in _secrets(view)}
    if edited.line:
        return _cut(text, hidden, view)
    if not hidden & edited.wrong.keys():
        return text
    return text_of_document({**document, **edited.values}, view)


def _cut(text: str, hidden: Collection[str], view: CollectionView) -> str:
    """What is no TOML, without the lines from a secret to the next field, table or comment."""
    begins = re.compile(
        rf'\s*(#|\[|"?({"|".join(re.escape(each.name) for each in view.fields)})"?\s*=)'
    )
    out: list[str] = []
    is_secret = False
    for line in text.split("\n"):
        if begins.match(line):
            is_secret = any(line_of(line, name) for name in hidden)
        if not is_secret:
            out.append(line)
    return "\n".join(out)


def _owner(name: str) -> str:
    """The field that `members.anna` or `groups[1]` is a part of."""
    return re.split(r"[.\[]", name, maxsplit=1)[0]


def _secrets(view: CollectionView) -> list[Parameter]:
    return [each for each in view.fields if each.type == "secret"]


def _kept(item: Parameter, document: Doc) -> str:
    stored = document.get(HAS[item.name]) if item.name in HAS else item.required
    return (
        "kept in the store, not shown; the form changes it"
        if stored
        else "none; the form takes one"
    )


def _help(item: Parameter) -> str:
    choices = f" One of {', '.join(str(each) for each in item.choices)}." if item.choices else ""
    return f"{item.help}{choices}"


def _note(text: str) -> str:
    return "\n".join(f"# {line}" for line in clean_lines(text, 1000).split("\n"))


def _inert(text: str) -> str:
    """TOML in which what a terminal would obey is written as its number; it reads back the same."""
    return "".join(
        each if each == "\n" or is_safe(each) else f"\\U{ord(each):08x}" for each in text
    )


def _json(value: Any) -> Any:
    """Times, which TOML has and JSON has not, as text."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_json(each) for each in value]
    return value
