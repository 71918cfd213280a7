"""What is to be done so that a server holds what is declared, each step behind those that it needs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from dts_core.declared.checking import ways
from dts_core.declared.documents import ORDER, Declared, Kept, Key, held_value

__all__ = ["Held", "Plan", "Secrets", "Step", "Verb", "make_plan"]

Verb: TypeAlias = Literal["create", "change", "delete"]
Secrets: TypeAlias = Mapping[Key, Mapping[str, str]]
_OWN: Final = ("role", "disabled")
_LOCKED: Final = (
    "it is created disabled, since --secrets-file has no secret for it; "
    "`dts admin users set {id} disabled=false --secret secret` gives one and lets them in"
)
_KEPT_OUT: Final = (
    "it is disabled, and nobody is let in without their secret in --secrets-file; "
    "`dts admin users set {id} disabled=false` does so, with `--secret secret` for a new one"
)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One write."""

    verb: Verb
    key: Key
    fields: Mapping[str, Any] = {}
    """What is written: all fields of a creation, those of a change that differ."""
    secrets: tuple[str, ...] = ()
    """Secret fields that are given with it."""
    changes: Mapping[str, list[Any]] = {}
    """Field -> [as it is, as it will be]."""
    revision: int = 0
    """The one that the plan was made on."""
    file: str = ""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What is declared and yet not done, and why."""

    key: Key
    why: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is to be done, in order."""

    steps: list[Step] = []
    unchanged: int = 0
    held: list[Held] = []

    @property
    def is_done(self) -> bool:
        """Whether all is as declared."""
        return not self.steps and not self.held


def make_plan(
    declared: Sequence[Declared],
    kept: Sequence[Kept],
    *,
    secrets: Secrets,
    prune: Collection[str] = (),
    me: str = "",
) -> Plan:
    """The steps from what the server holds to what is declared.

    A secret that is kept is never given again: nobody can tell whether it is the same. Whoever applies does not take
    their own rights away, which would end the run in its midst.

    Args:
        declared: The documents that there shall be; they fit each other (`misfits`).
        kept: What the server holds of their collections.
        secrets: Document -> its secret fields, for those that need them.
        prune: Collections of which nothing else shall stay.
        me: The user who applies.
    """
    held_by_key = {each.key: each for each in kept}
    steps: list[Step] = []
    held: list[Held] = []
    unchanged = 0
    for each in declared:
        before = held_by_key.get(each.key)
        given = secrets.get(each.key, {})
        step, why = _creation(each, given) if before is None else _change(each, before, given, me)
        if why:
            held.append(Held(key=each.key, why=why))
        if step is None:
            unchanged += not why
        else:
            steps.append(step)
    wanted = {each.key for each in declared}
    removals = []
    for other in kept:
        if other.key.collection not in prune or other.key in wanted:
            continue
        if other.key == Key("users", me):
            held.append(Held(key=other.key, why="this is you: another administrator deletes you"))
        else:
            removals.append(Step(verb="delete", key=other.key, revision=other.revision))
    steps.sort(key=_places(ways(declared, kept, prune=prune)))
    removals.sort(key=_places(ways((), kept, prune=())), reverse=True)
    return Plan(steps=steps + removals, unchanged=unchanged, held=held)


def _creation(document: Declared, given: Mapping[str, str]) -> tuple[Step | None, str]:
    fields, why = dict(document.fields), ""
    if document.key.collection == "users" and "secret" not in given:
        if not fields.get("disabled"):
            why = _LOCKED.format(id=document.key.id)
        fields["disabled"] = True
    changes = {
        name: [None, held_value(document.key, name, value)]
        for name, value in fields.items()
        if value not in ("", [], {}, None)
    }
    step = Step(
        verb="create", key=document.key, fields=fields, secrets=tuple(sorted(given)),
        changes=changes, file=document.file,
    )  # fmt: skip
    return step, why


def _change(
    document: Declared, before: Kept, given: Mapping[str, str], me: str
) -> tuple[Step | None, str]:
    key = document.key
    fields = {
        name: value
        for name, value in document.fields.items()
        if held_value(key, name, value) != before.fields.get(name)
    }
    secrets = sorted(given.keys() - before.secrets)
    why = ""
    if key == Key("users", me) and fields.keys() & set(_OWN):
        fields = {name: value for name, value in fields.items() if name not in _OWN}
        why = "this is you: another administrator changes your role, or disables you"
    elif key.collection == "users" and fields.get("disabled") is False:
        if "secret" in given:
            secrets = ["secret"]
        else:
            del fields["disabled"]
            why = _KEPT_OUT.format(id=key.id)
    if not fields and not secrets:
        return None, why
    changes = {
        name: [before.fields.get(name), held_value(key, name, value)]
        for name, value in fields.items()
    }
    if "source" in fields:
        # A new version takes its note with it.
        fields["note"] = document.fields.get("note", "")
    step = Step(
        verb="change", key=key, fields=fields, secrets=tuple(secrets), changes=changes,
        revision=before.revision, file=document.file,
    )  # fmt: skip
    return step, why


def _places(jumps: Mapping[str, str]) -> Callable[[Step], tuple[int, int, str]]:
    """The place of a step: by collection, virtual hosts behind those that their way leads through, then by id."""

    def depth(vhost: str) -> int:
        passed = {vhost}
        while (vhost := jumps.get(vhost, "")) and vhost not in passed:
            passed.add(vhost)
        return len(passed)

    def place(step: Step) -> tuple[int, int, str]:
        collection, doc_id = step.key
        return ORDER.index(collection), depth(doc_id) if collection == "vhosts" else 0, doc_id

    return place
