"""An inventory in Ansible's own line form, which is no INI: sections of hosts, with variables behind their names."""

import re
import shlex
from typing import Final

from dts_core.hostfiles.found import Findings
from dts_core.hostfiles.inventory import Inventory, TooMany, Variable, is_wanted, names_of

__all__ = ["read_ini"]

_SECTION: Final = re.compile(r"\[([^\[\]:\s]+)(?::([a-z]+))?\]\s*(?:[#;].*)?")
_KINDS: Final = ("hosts", "children", "vars")
_UNGROUPED: Final = "ungrouped"


def read_ini(file: str, text: str, findings: Findings) -> Inventory:
    """Read one.

    Args:
        file: Its name, for people.
        text: What stands in it.
        findings: Takes what is wrong.
    """
    inventory = Inventory(file)
    group, kind = _UNGROUPED, "hosts"
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        section = _SECTION.fullmatch(line)
        try:
            if section is None:
                _take(inventory, group, kind, line, number)
                continue
            group, kind = section[1], section[2] or "hosts"
            if kind not in _KINDS:
                raise ValueError(f"[{group}:{kind}]: hosts, children or vars is expected")
            inventory.group(group)
        except ValueError as error:
            findings.wrong(file, number, str(error))
            if isinstance(error, TooMany):
                break
    return inventory


def _take(inventory: Inventory, group: str, kind: str, line: str, number: int) -> None:
    if kind == "vars":
        name, equals, value = line.partition("=")
        if not equals:
            raise ValueError("it is no variable: NAME = VALUE is expected")
        _keep(inventory.group(group).variables, name.strip(), value.strip(), number)
        return
    words = _words(line)
    if kind == "children":
        if len(words) != 1:
            raise ValueError("it is no name of a group")
        inventory.group(group).children.setdefault(words[0], number)
        inventory.group(words[0])
        return
    names, port = names_of(words[0])
    for name in names:
        variables = inventory.host(group, name, number)
        if port is not None:
            variables["ansible_port"] = Variable(str(port), number)
        for word in words[1:]:
            key, equals, value = word.partition("=")
            if not equals:
                raise ValueError("behind a host stand variables alone, NAME=VALUE each")
            _keep(variables, key, value, number)


def _words(line: str) -> list[str]:
    try:
        words = shlex.split(line, comments=False)
    except ValueError:
        raise ValueError("a quotation mark is not closed") from None
    at = next((n for n, word in enumerate(words) if word.startswith("#")), len(words))
    if not words[:at]:
        raise ValueError("it names no host")
    return words[:at]


def _keep(variables: dict[str, Variable], name: str, value: str, number: int) -> None:
    if not is_wanted(name):
        return
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    sealed = value.startswith(("$ANSIBLE_VAULT", "!vault"))
    variables[name] = Variable(value, number, sealed)
