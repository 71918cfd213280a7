"""From what files tell of hosts to what is written: which are created, changed, the same, and which are refused."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from dts_core.declared import Declared, Kept, Key, Plan, Step, make_plan, misfits
from dts_core.errors import InvalidInput
from dts_core.hostfiles.found import Findings, FoundHost
from dts_core.hostfiles.inventory import GROUP, label_of
from dts_core.hostfiles.knownkeys import SSH_PORT, KnownKeys, keys_of
from dts_core.hostsets import pattern, unfold
from dts_core.text import clean

__all__ = ["ImportPlan", "chosen", "declared_of", "plan_of", "settled", "with_known"]

VHOSTS: Final = "vhosts"
_NO_USER: Final = "no user is told: give --user NAME for those without one"
_OTHER_KEY: Final = (
    "another {kind} key is pinned for it: if the host has a new one, "
    "`dts admin vhosts forget-key {name} --reason ...` first"
)


class ImportPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What an import comes to."""

    steps: list[Step]
    """Hosts that are created or changed, each behind those that its way leads through."""
    same: list[str] = []
    refused: dict[str, str] = {}
    """Host -> why nothing of it is written."""
    unpinned: list[str] = []
    """Hosts that have no pinned key, once this is done."""

    def only(self, steps: Mapping[Key, Step]) -> "ImportPlan":
        """With these in place of its own steps; what is not among them changes nothing, and is the same."""
        left = [steps[each.key] for each in self.steps if each.key in steps]
        others = [each.key.id for each in self.steps if each.key not in steps]
        return msgspec.structs.replace(self, steps=left, same=sorted([*self.same, *others]))


def chosen(hosts: Mapping[str, FoundHost], names: Sequence[str]) -> dict[str, FoundHost]:
    """Those of some names, folded names or patterns, with the hosts that their ways lead through; all without a name.

    Raises:
        InvalidInput: A range is none, or the files tell of no such host.
    """
    if not names:
        return dict(hosts)
    wanted: dict[str, None] = {}
    for name in (each for folded in names for each in unfold(folded)):
        fitting = pattern(name).fullmatch
        found = [each for each in hosts if fitting(each)]
        if not found:
            raise InvalidInput(
                f"these files tell of no host {clean(name, 120)}.",
                advice="See --dry-run for all of them.",
            )
        wanted.update(dict.fromkeys(found))
    left = list(wanted)
    while left:
        jump = hosts[left.pop()].fields.get("jump", "")
        if jump in hosts and jump not in wanted:
            wanted[jump] = None
            left.append(jump)
    return {name: host for name, host in hosts.items() if name in wanted}


def declared_of(
    host: FoundHost, before: Kept | None, *, user: str, keys: Sequence[str]
) -> Declared:
    """A host as it shall be: what the file tells, on top of what there is.

    Args:
        host: What was found.
        before: Its virtual host, where there is one.
        user: The login name where none is told.
        keys: Of the host, `TYPE BASE64` each.

    Raises:
        ValueError: Nothing of it is taken; says why.
    """
    if host.refused:
        raise ValueError(host.refused)
    fields = dict(host.fields)
    told = fields.pop("known_host_key", "").splitlines()
    kept: Mapping[str, Any] = before.fields if before is not None else {}
    if "user" not in fields and before is None:
        if not user:
            raise ValueError(_NO_USER)
        fields["user"] = user
    fields.setdefault("jump", kept.get("jump", ""))
    if labels := _labels(host, kept.get("labels", {})):
        fields["labels"] = labels
    if pinned := _pinned(host.name, kept.get("known_host_key", ""), [*told, *keys]):
        fields["known_host_key"] = "\n".join(pinned)
    return Declared(key=Key(VHOSTS, host.name), fields=fields, file=host.name)


def _labels(host: FoundHost, kept: Mapping[str, str]) -> dict[str, str]:
    """Labels of before stay; those that stand for groups are those of the file, where it knows groups."""
    labels: dict[str, str] = {**kept, **host.fields.get("labels", {})}
    if host.groups is None:
        return labels
    bare = {name: value for name, value in labels.items() if not name.startswith(GROUP)}
    return bare | {label: "" for group in host.groups if (label := label_of(group))}


def _pinned(name: str, kept: str, found: Sequence[str]) -> list[str]:
    """The pinned keys with those that were found. A key is added to others, and never takes the place of one."""
    before = kept.splitlines()
    kinds = {_kind(each) for each in before}
    for key in found:
        if key not in before and _kind(key) in kinds:
            raise ValueError(_OTHER_KEY.format(kind=_kind(key), name=name))
    return list(dict.fromkeys([*before, *found]))


def _kind(line: str) -> str:
    return line.rpartition(" ")[0]


def plan_of(
    hosts: Mapping[str, FoundHost], kept: Sequence[Kept], keys: Sequence[KnownKeys], *, user: str
) -> tuple[dict[str, Declared], dict[str, str]]:
    """Host -> as it shall be, and host -> why it is not taken.

    Args:
        hosts: What was found.
        kept: The virtual hosts that there are.
        keys: Of known_hosts files.
        user: The login name where none is told.
    """
    held = {each.key.id: each for each in kept}
    refused: dict[str, str] = {}
    declared: dict[str, Declared] = {}
    for name, host in hosts.items():
        try:
            found = _keys_of(host, held.get(name), keys)
            declared[name] = declared_of(host, held.get(name), user=user, keys=found)
        except ValueError as error:
            refused[name] = str(error)
    return declared, refused


def _keys_of(host: FoundHost, before: Kept | None, keys: Sequence[KnownKeys]) -> list[str]:
    fields = {**(before.fields if before is not None else {}), **host.fields}
    looked_up = host.known_as or str(fields.get("address", ""))
    port = fields.get("port") or SSH_PORT
    return keys_of(keys, looked_up, port)


def with_known(
    hosts: Mapping[str, FoundHost],
    kept: Sequence[Kept],
    keys: Sequence[KnownKeys],
    *,
    is_alone: bool,
) -> dict[str, FoundHost]:
    """The hosts with those that known_hosts has keys for: virtual hosts that there are, and others that it names.

    Args:
        hosts: What other files tell.
        kept: The virtual hosts that there are.
        keys: Of known_hosts files.
        is_alone: Whether no other file names hosts: then its own names do.
    """
    found = dict(hosts)
    reached = set()
    for each in kept:
        reached.add((each.fields.get("address"), each.fields.get("port") or SSH_PORT))
        there = FoundHost(name=each.key.id, where="a virtual host that there is", fields={})
        if each.key.id not in found and _keys_of(there, each, keys):
            found[each.key.id] = there
    if not is_alone:
        return found
    told = Findings()
    for host in (host for each in keys for host in each.hosts()):
        if (host.fields["address"], host.fields.get("port", SSH_PORT)) not in reached:
            told.add(host)
    return {**told.hosts, **found}


def settled(
    declared: Mapping[str, Declared], kept: Sequence[Kept], refused: Mapping[str, str]
) -> ImportPlan:
    """The plan without those that are refused, and without whoever has no way then.

    Args:
        declared: Host -> as it shall be.
        kept: The virtual hosts that there are.
        refused: Host -> why it is not taken.
    """
    refused = dict(refused)
    left = {name: each for name, each in declared.items() if name not in refused}
    while wrong := misfits(list(left.values()), kept, prune=()):
        for each in wrong:
            del left[each.file]
            refused[each.file] = f"{each.field}: {each.why}"
    plan: Plan = make_plan(list(left.values()), kept, secrets={})
    touched = {step.key.id for step in plan.steps}
    return ImportPlan(
        steps=plan.steps,
        same=[name for name in left if name not in touched],
        refused=refused,
        unpinned=[name for name, each in left.items() if not _has_key(each, kept)],
    )


def _has_key(document: Declared, kept: Sequence[Kept]) -> bool:
    if "known_host_key" in document.fields:
        return True
    return any(each.key == document.key and each.fields.get("known_host_key") for each in kept)
