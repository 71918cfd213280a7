"""The one registry of everything the console can do: footer, `?`, palette, `:` and the docs page are made from it."""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches

from dts_core.errors import ConfigError
from dts_tui.catalogue import (
    ACTIONS,
    ADMIN,
    OPERATE,
    READ,
    SUBMIT,
    TYPING_SCOPES,
    Action,
)

_RANK = {"viewer": 0, "submitter": 1, "operator": 2, "admin": 3}


_NEEDS = {READ: 0, SUBMIT: 1, OPERATE: 2, ADMIN: 3}


ROLE_FOR = {READ: "viewer", SUBMIT: "submitter", OPERATE: "operator", ADMIN: "admin"}


class Registry:
    """All actions with the keys as this user has them."""

    def __init__(self, actions: Iterable[Action] = ACTIONS) -> None:
        self.actions = tuple(actions)
        self._by_name = {action.name: action for action in self.actions}

    def __getitem__(self, name: str) -> Action:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def remapped(self, keys: Mapping[str, str]) -> "Registry":
        """The same actions with keys from `[keys]` of tui.toml; several keys are separated by commas.

        Raises:
            ConfigError: An action that does not exist, or two actions of one screen on the same key.
        """
        for name in keys:
            if name not in self:
                near = get_close_matches(name, self._by_name, 1)
                advice = f"Did you mean `{near[0]}`?" if near else "See `?` for the names."
                raise ConfigError("there is no such action.", key=f"keys.{name}", advice=advice)
        actions = [
            replace(
                action,
                keys=tuple(key.strip() for key in keys[action.name].split(",") if key.strip()),
            )
            if action.name in keys
            else action
            for action in self.actions
        ]
        registry = Registry(actions)
        if clash := registry.clashes():
            raise ConfigError(clash[0], key="keys")
        return registry

    def clashes(self) -> list[str]:
        """Keys that two actions of one screen would share; a screen's own action may take a key from a global one."""
        found = []
        for scope in self.scopes():
            seen: dict[str, str] = {}
            for action in self.actions:
                if scope not in action.scopes:
                    continue
                for key in action.keys:
                    if key in seen:
                        found.append(f"`{key}` is both {seen[key]} and {action.name} in {scope}.")
                    seen[key] = action.name
        return found

    def scopes(self) -> list[str]:
        """Every screen that some action names."""
        return sorted({scope for action in self.actions for scope in action.scopes})

    def by_key(self, key: str, scope: str) -> Action | None:
        """What a key does on a screen: the screen's own actions come before those that are everywhere."""
        general = None
        for action in self.actions:
            if key in action.keys:
                if scope in action.scopes:
                    return action
                if not action.scopes:
                    general = action
        return general

    def here(self, scope: str) -> list[Action]:
        """What a screen offers, its own first."""
        own = [action for action in self.actions if scope in action.scopes]
        return own + [action for action in self.actions if not action.scopes]

    def footer(self, scope: str) -> list[Action]:
        """What the footer names, in order."""
        offered = [action for action in self.actions if action.footer and action.offered(scope)]
        if scope in TYPING_SCOPES:
            typed = (action for action in offered if action.typing or action.keys[:1] == ("enter",))
            offered = [*typed, self["palette"]]
        return sorted(offered, key=lambda action: action.footer)


def allowed(action: Action, *, role: str, read_only: bool, connected: bool) -> str:
    """Why an action cannot be done now; empty when it can."""
    if action.writes and read_only:
        return "this console is read-only"
    if action.writes and not connected:
        return "the server is unreachable"
    return forbidden(action, role)


def forbidden(action: Action, role: str) -> str:
    """Why a role may never do this; empty when it may, or while the role is not known."""
    if role and _RANK.get(role, 0) < _NEEDS[action.permission]:
        return f"needs the role {ROLE_FOR[action.permission]}; yours is {role}"
    return ""


_KEY_WORDS = {
    "escape": "esc",
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "full_stop": ".",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "pagedown": "pgdn",
    "pageup": "pgup",
}


def key_label(key: str) -> str:
    """A key as people write it."""
    return _KEY_WORDS.get(key, key)


class _Subject(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return _UNNAMED.get(key, key.upper())


_UNNAMED = {
    "query": "", "filter_options": "", "arguments": "", "pause": "pause", "drain": "drain",
    "queue_word": "QUEUE", "queue_json": '"QUEUE"',
    "token_command": "token", "token_path": "session/tokens",
    "secret_command": "", "secret_request": "POST /session/password {…}",
    "step_command": "", "step_request": "POST /admin/vhosts/{id}/init {…}",
    "id_word": "ID", "doc_word": "ID", "verb": "add", "method": "POST", "below": "", "assigned": "",
}  # fmt: skip
"""What stands for a part of the subject that is not known."""


def forms(action: Action, subject: Mapping[str, str], scope: str = "") -> tuple[str, str]:
    """An action as a command line and as an HTTP request, about the subject at hand, on a screen."""
    values = _Subject({name: value for name, value in subject.items() if value})
    command, request = action.elsewhere.get(scope, (action.command, action.request))
    return command.format_map(values).strip(), request.format_map(values).rstrip("?& ")


def subject_of_jobs(ids: list[str], function: str = "") -> dict[str, str]:
    """The subject that an action on jobs is about; at most ten ids are spelt out."""
    few = ids[:10]
    more = f" …(+{len(ids) - 10})" if len(ids) > 10 else ""
    return {
        "id": ids[0] if ids else "",
        "ids": " ".join(shlex.quote(each) for each in few) + more,
        "ids_json": json.dumps(few) + more,
        "function": function,
        "log_options": f"--job {ids[0]}" if ids else "",
        "log_query": f"job={ids[0]}" if ids else "",
    }
