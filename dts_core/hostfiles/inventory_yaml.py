"""An inventory of Ansible in YAML: read as nodes, so that each line can be told and no object is made."""

from collections.abc import Iterator
from typing import Final

import yaml

from dts_core.hostfiles.found import Findings
from dts_core.hostfiles.inventory import ALL, Group, Inventory, Variable, is_wanted, names_of
from dts_core.text import one_line

__all__ = ["read_yaml"]

NODES_MAX: Final = 500_000
"""Nodes that are looked at: an alias may stand for a tree of aliases."""
DEPTH_MAX: Final = 64
_VAULT: Final = "!vault"
_KINDS: Final = ("hosts", "children", "vars")


def read_yaml(file: str, text: str, findings: Findings) -> Inventory:
    """Read one.

    Args:
        file: Its name, for people.
        text: What stands in it.
        findings: Takes what is wrong.
    """
    inventory = Inventory(file)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            reader = _Reader(inventory)
            for name, node in reader.pairs(root):
                reader.group(name, node, 1)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        findings.wrong(file, line, f"it is no YAML: {one_line(str(error.problem), 200)}")
    except yaml.YAMLError as error:
        findings.wrong(file, 1, f"it is no YAML: {one_line(str(error), 200)}")
    except RecursionError:
        findings.wrong(file, 1, "it is nested too deeply")
    except _Wrong as error:
        findings.wrong(file, error.line, error.why)
    return inventory


class _Wrong(Exception):
    def __init__(self, node: yaml.Node, why: str) -> None:
        super().__init__(why)
        self.line = _line(node)
        self.why = why


class _Reader:
    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._nodes = 0

    def pairs(self, node: yaml.Node) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """Of a mapping; none of a value that is left out."""
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
            return
        if not isinstance(node, yaml.MappingNode):
            raise _Wrong(node, "a mapping is expected here: names with what belongs to them")
        for key, value in node.value:
            self._nodes += 1
            if self._nodes > NODES_MAX:
                raise _Wrong(key, f"it has more than {NODES_MAX} entries, or aliases of aliases")
            if not isinstance(key, yaml.ScalarNode):
                raise _Wrong(key, "a name is expected here")
            yield key, value

    def group(self, name: yaml.ScalarNode, node: yaml.Node, depth: int) -> None:
        """A group with all that is below it."""
        if depth > DEPTH_MAX:
            raise _Wrong(name, f"groups lie more than {DEPTH_MAX} deep in each other")
        group = self._inventory.group(name.value)
        for key, value in self.pairs(node):
            if key.value not in _KINDS:
                raise _Wrong(key, f"{key.value}: a group has {', '.join(_KINDS)}")
            for each, below in self.pairs(value):
                if key.value == "hosts":
                    self._hosts(name.value, each, below)
                elif key.value == "vars":
                    self._keep(group.variables, each, below)
                else:
                    self._child(name.value, group, each, below, depth)

    def _child(
        self, name: str, group: Group, child: yaml.ScalarNode, node: yaml.Node, depth: int
    ) -> None:
        if name != ALL:  # which every group is in
            group.children.setdefault(child.value, _line(child))
        self.group(child, node, depth + 1)

    def _hosts(self, group: str, name: yaml.ScalarNode, node: yaml.Node) -> None:
        try:
            names, port = names_of(name.value)
            hosts = [self._inventory.host(group, each, _line(name)) for each in names]
        except ValueError as error:
            raise _Wrong(name, str(error)) from None
        for variables in hosts:
            if port is not None:
                variables["ansible_port"] = Variable(str(port), _line(name))
            for key, value in self.pairs(node):
                self._keep(variables, key, value)

    def _keep(self, variables: dict[str, Variable], key: yaml.ScalarNode, value: yaml.Node) -> None:
        if not is_wanted(key.value):
            return
        if not isinstance(value, yaml.ScalarNode):
            raise _Wrong(value, f"{key.value}: one value is expected")
        variables[key.value] = Variable(value.value, _line(value), value.tag == _VAULT)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
