"""The steps of a set-up, as the host shall be after each: compared for the plan, and handed over to be made so."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from dts_core.ssh.setup.facts import Facts
from dts_core.ssh.setup.far.base import digest
from dts_core.ssh.setup.texts import Text, settings_texts, unit_texts
from dts_core.ssh.setup.wheels.release import Release
from dts_core.ssh.setup.wish import Place, Wish

__all__ = ["PlanStep", "Step", "names_of", "steps_of", "words_of"]

_SETTINGS: Final = ("worker.toml", "worker.env", "signing.pub", "ca.pem")


class PlanStep(msgspec.Struct, frozen=True):
    """A step for people: how it is, how it will be. Nothing secret stands in it."""

    name: str
    is_: str = msgspec.field(name="is")
    will: str
    changes: bool


class Step(msgspec.Struct, frozen=True):
    """A step for the host."""

    name: str
    will: dict[str, Any]
    """How it shall be, in the form in which the host tells how it is."""
    given: dict[str, Any] = {}
    """What is needed to make it so."""
    shown: str = ""
    """How it will be, for people."""
    sends: bool = False
    """Whether the release's archive goes with it where the host has it not."""

    def __repr__(self) -> str:
        return f"Step({self.name})"


def names_of(wish: Wish) -> list[str]:
    """The steps of a wish, in their order."""
    names = ["account"] if wish.scope == "system" else []
    names += ["folders", "program", "config"]
    return names if wish.mode == "agent" else [*names, "unit", "service"]


def steps_of(wish: Wish, place: Place, facts: Facts, release: Release, salt: str) -> list[Step]:
    """The same with all that they need.

    Args:
        wish: What the host shall become.
        place: Where things lie; paths written out.
        facts: Of the host.
        release: The program for it.
        salt: Of this visit.
    """
    made = {
        "account": lambda: Step("account", {"name": place.account}, shown=f"user {place.account}"),
        "folders": lambda: _folders(place, facts),
        "program": lambda: _program(release),
        "config": lambda: _config(settings_texts(wish, place), salt, place),
        "unit": lambda: _unit(unit_texts(wish, place, facts.home), salt, place),
        "service": lambda: _service(wish),
    }
    return [made[name]() for name in names_of(wish)]


def _folders(place: Place, facts: Facts) -> Step:
    mode = "755" if place.account else "700"
    owner = "root" if place.account else facts.user
    will = {
        "program": f"{mode} {owner}",
        "config": f"{mode} {owner}",
        "data": f"700 {place.account or facts.user}",
    }
    return Step("folders", will, shown=f"{place.program}, {place.config}, {place.data}")


def _program(release: Release) -> Step:
    given = {"release": release.name, "sha256": release.sha256, "wheels": release.wheels}
    size = f"{len(release.wheels)} wheels, {release.size / (1 << 20):.1f} MiB"
    return Step(
        "program", {"release": release.name}, given, f"release {release.name} ({size})", sends=True
    )


def _config(texts: Mapping[str, Text], salt: str, place: Place) -> Step:
    will = {name: _digest(texts.get(name), salt) for name in _SETTINGS}
    shown = f"{', '.join(sorted(texts))} in {place.config}"
    return Step("config", will, {"files": _plain(texts)}, shown)


def _unit(texts: Mapping[str, Text], salt: str, place: Place) -> Step:
    will = {
        "files": {name: _digest(text, salt) for name, text in texts.items()},
        "enabled": place.manager != "supervised",
    }
    shown = {
        "systemd": f"{place.unit}, starts with the machine",
        "systemd-user": f"{place.unit}, starts with the machine",
        "supervised": "a supervisor of its own; does not start with the machine",
    }
    return Step("unit", will, {"files": _plain(texts)}, shown[place.manager])


def _service(wish: Wish) -> Step:
    will = {"running": True, "fresh": True}
    return Step("service", will, {"drain_seconds": wish.drain_seconds}, "runs, from all of this")


def _digest(text: Text | None, salt: str) -> str:
    return "" if text is None else digest(text.text.encode(), text.mode, salt)


def _plain(texts: Mapping[str, Text]) -> dict[str, dict[str, Any]]:
    return {name: {"text": each.text, "mode": each.mode} for name, each in texts.items()}


# --- for people -------------------------------------------------------------------------------------


def words_of(step: Step, state: Mapping[str, Any]) -> str:
    """How a step is, by what the host told; digests are told as what differs."""
    if state == step.will:
        return step.shown
    if step.name == "program":
        return f"release {state['release']}" if state.get("release") else "nothing"
    if step.name == "account":
        return "no such user"
    if step.name == "service":
        return "runs, from what was before" if state.get("running") else "does not run"
    will, found = step.will, dict(state)
    if step.name == "unit":
        enabled = [] if found.get("enabled") == will["enabled"] else ["does not start by itself"]
        return ", ".join([*_differing(will["files"], found.get("files", {})), *enabled])
    return ", ".join(_differing(will, found))


def _differing(will: Mapping[str, str], state: Mapping[str, str]) -> list[str]:
    said = []
    for name, wanted in will.items():
        found = state.get(name, "")
        if found != wanted:
            said.append(
                f"{name} {'is missing' if not found else 'differs' if wanted else 'is there'}"
            )
    return said
