"""An inventory of Ansible, whichever form it is written in: groups, hosts, and the variables that tell of a login."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from dts_core.hostfiles.found import HOSTS_MAX, Findings, FoundHost, port_of
from dts_core.hostfiles.ways import hops_of_options
from dts_core.hostsets import RANGES_MAX

__all__ = [
    "ALL",
    "ENTRIES_MAX",
    "GROUP",
    "Group",
    "Inventory",
    "TooMany",
    "Variable",
    "is_wanted",
    "label_of",
    "names_of",
]

ALL: Final = "all"
ENTRIES_MAX: Final = 500_000
"""Hosts of all groups together, each as often as it is named: a short line may stand for many."""
GROUP: Final = "group/"
"""What labels that stand for groups begin with."""
_UNGROUPED: Final = "ungrouped"
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,50}[a-z0-9])?")
_RANGE: Final = re.compile(r"\[([0-9]+|[A-Za-z]):([0-9]+|[A-Za-z])(?::([0-9]{1,4}))?\]")
_PORT: Final = re.compile(r"((?:[^\[\]:]|\[[^\]]*\])+):([0-9]{1,5})")
_SECRET: Final = re.compile(r"ansible_(.*_)?(pass|password|passphrase)")
_PYTHON: Final = re.compile(r"auto|auto_legacy|(auto_)?(legacy_)?silent")
_FIELDS: Final = {
    "address": ("ansible_host", "ansible_ssh_host"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "python": ("ansible_python_interpreter",),
}
_OPTIONS: Final = ("ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args")
_KEYS: Final = ("ansible_ssh_private_key_file", "ansible_private_key_file")
_CONNECTION: Final = "ansible_connection"
_BY_SSH: Final = ("ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh",
                  "ansible.builtin.paramiko_ssh", "ansible.netcommon.libssh")  # fmt: skip


class TooMany(ValueError):
    """There is more in the file than is read."""


class Variable(NamedTuple):
    """What stands behind a name, and where."""

    value: str
    line: int
    is_sealed: bool = False
    """By ansible-vault."""


class Group(msgspec.Struct, eq=False):
    """A group; of `all`, and of groups that only others name, there may be none of its own lines."""

    children: dict[str, int] = {}
    """Name -> line."""
    hosts: dict[str, int] = {}
    variables: dict[str, Variable] = {}


class Inventory(msgspec.Struct, eq=False):
    """A whole file."""

    file: str
    groups: dict[str, Group] = {}
    variables: dict[str, dict[str, Variable]] = {}
    """Host -> its own."""
    entries: int = 0
    """How often a host was named."""

    def group(self, name: str) -> Group:
        """A group, made where it is named first."""
        return self.groups.setdefault(name, Group())

    def host(self, group: str, name: str, line: int) -> dict[str, Variable]:
        """A host of a group; its own variables, to be added to.

        Raises:
            TooMany: Too often: nothing more of the file is to be read.
        """
        self.entries += 1
        if self.entries > ENTRIES_MAX:
            raise TooMany(f"with it the file names more than {ENTRIES_MAX} hosts")
        self.group(group).hosts.setdefault(name, line)
        return self.variables.setdefault(name, {})

    def tell(self, findings: Findings) -> None:
        """Tell every host of it."""
        depths = self._depths(findings)
        member: dict[str, list[str]] = {}
        lines: dict[str, int] = {}
        for name, group in self.groups.items():
            for host, line in group.hosts.items():
                lines[host] = min(line, lines.get(host, line))
                member.setdefault(host, []).append(name)
        parents = self._parents()
        above = {name: _above(name, parents) for name in self.groups}
        for host, line in lines.items():
            groups = set().union(*(above[name] for name in member[host])) | {ALL}
            findings.add(self._found(host, line, groups, depths))

    def _found(
        self, host: str, line: int, groups: set[str], depths: Mapping[str, int]
    ) -> FoundHost:
        variables: dict[str, Variable] = {}
        for name in sorted(groups, key=lambda each: (depths.get(each, 0), each)):
            variables |= self.groups[name].variables if name in self.groups else {}
        variables |= self.variables.get(host, {})
        of = sorted(groups - {ALL, _UNGROUPED})
        notes = [f"group {each} cannot be a label" for each in of if not label_of(each)]
        bare = FoundHost(
            name=host,
            where=f"{self.file}, line {line}",
            fields={"address": host},
            groups=tuple(of),
        )
        try:
            bare.fields.update(_fields(variables, notes))
        except ValueError as error:
            return msgspec.structs.replace(bare, refused=str(error))
        return msgspec.structs.replace(bare, notes=tuple(notes))

    def _parents(self) -> dict[str, set[str]]:
        """Group -> those that it is in at once."""
        parents: dict[str, set[str]] = {}
        for name, group in self.groups.items():
            for child in group.children:
                parents.setdefault(child, set()).add(name)
        return parents

    def _depths(self, findings: Findings) -> dict[str, int]:
        """Group -> the most groups that stand above it; a circle is a mistake."""
        depths = dict.fromkeys(self.groups, 1) | {ALL: 0}
        for _ in range(len(depths) + 1):
            deeper = {
                child: depths[name] + 1
                for name, group in self.groups.items()
                for child in group.children
                if depths.get(child, 1) < depths[name] + 1
            }
            if not deeper:
                return depths
            depths |= deeper
        parents = self._parents()
        for name, group in self.groups.items():
            for child, line in group.children.items():
                if child in _above(name, parents):
                    findings.wrong(self.file, line, f"group {name} is in itself, by {child}")
                    return depths
        return depths


def _above(name: str, parents: Mapping[str, set[str]]) -> set[str]:
    """A group and all that it is in."""
    found, left = {name}, [name]
    while left:
        more = parents.get(left.pop(), set()) - found
        left += more
        found |= more
    return found


def is_wanted(name: str) -> bool:
    """Whether a variable is looked at here; all others are nobody's business."""
    return (
        name in (_CONNECTION, *_OPTIONS, *_KEYS)
        or _SECRET.fullmatch(name) is not None
        or any(name in names for names in _FIELDS.values())
    )


def label_of(group: str) -> str:
    """The label that a group becomes; empty when it cannot be one."""
    name = group.lower()
    return f"{GROUP}{name}" if _LABEL.fullmatch(name) else ""


def _fields(variables: Mapping[str, Variable], notes: list[str]) -> Iterator[tuple[str, Any]]:
    """Fields of a virtual host; a note for what is not taken.

    Raises:
        ValueError: The host is not taken; says why.
    """
    connection = variables.get(_CONNECTION)
    if connection is not None and connection.value not in _BY_SSH:
        raise ValueError(f"its connection is {connection.value}, and not ssh")
    for name in sorted(variables):
        if _SECRET.fullmatch(name):
            line = variables[name].line
            notes.append(f"{name} (line {line}) is not taken: give a secret by --ask-password")
        elif name in _KEYS:
            key = variables[name].value
            notes.append(f"its private key {key} is not read: give it with --key-file")
    for field, names in _FIELDS.items():
        name = next((each for each in names if each in variables), "")
        if name and (value := _plain(name, variables[name])):
            if field == "port":
                yield field, _port(name, value)
            elif field != "python" or not _PYTHON.fullmatch(value):
                yield field, value
    for name in _OPTIONS:
        if name in variables and (jump := _jump(name, _plain(name, variables[name]))) is not None:
            yield "jump", jump
            return


def _plain(name: str, variable: Variable) -> str:
    if variable.is_sealed:
        raise ValueError(f"{name} is sealed by ansible-vault, which is not opened here")
    if "{{" in variable.value or "{%" in variable.value:
        raise ValueError(f"{name} is a template, and nothing fills it in here")
    return variable.value


def _port(name: str, value: str) -> int:
    port = port_of(value)
    if port is None:
        raise ValueError(f"{name} is no port")
    return port


def _jump(name: str, value: str) -> str | None:
    """The virtual host that the way leads through; empty: none; None: nothing is said of that."""
    try:
        hops = hops_of_options(value)
    except ValueError as error:
        raise ValueError(f"{name}: its way cannot be taken over: {error}") from None
    if hops is None or not hops:
        return None if hops is None else ""
    if len(hops) > 1:
        raise ValueError(
            f"{name}: it leads through more than one host: give each a jump of its own"
        )
    return hops[0].name


def names_of(text: str) -> tuple[list[str], int | None]:
    """The names that `web[01:20].example.org:2222` stands for, and their port.

    Raises:
        ValueError: A range is none, or there are too many; says why.
    """
    if text.count("[") > RANGES_MAX:
        raise ValueError(f"it has more than {RANGES_MAX} ranges")
    found = _PORT.fullmatch(text)
    port = None
    if found is not None:
        text, port = found[1], port_of(found[2])
        if port is None:
            raise ValueError("its port is none")
    return _unfolded(text), port


def _unfolded(text: str) -> list[str]:
    found = _RANGE.search(text)
    if found is None:
        bare = text.removeprefix("[").removesuffix("]") if ":" in text else text
        if set(bare) & set("[]"):
            raise ValueError("its brackets hold no range: write web[1:20] or web[a:f]")
        return [bare]
    tails = _unfolded(text[found.end() :]) if found.end() < len(text) else [""]
    heads = [f"{text[: found.start()]}{each}" for each in _steps(found[1], found[2], found[3])]
    if len(heads) * len(tails) > HOSTS_MAX:
        raise ValueError(f"it stands for more than {HOSTS_MAX} hosts")
    return [f"{head}{tail}" for head in heads for tail in tails]


def _steps(first: str, last: str, step: str | None) -> list[str]:
    by = int(step or 1)
    if first.isdecimal() != last.isdecimal() or by < 1 or max(len(first), len(last)) > 9:
        raise ValueError("its range is none: write web[1:20] or web[a:f]")
    if not first.isdecimal():
        numbers = range(ord(first), ord(last) + 1, by)
        return _checked([chr(number) for number in numbers])
    if int(last) - int(first) >= HOSTS_MAX * by:
        raise ValueError(f"it stands for more than {HOSTS_MAX} hosts")
    width = len(first) if first.startswith("0") else 0
    return _checked([f"{number:0{width}d}" for number in range(int(first), int(last) + 1, by)])


def _checked(names: list[str]) -> list[str]:
    if not names:
        raise ValueError("its range runs backwards")
    return names
