"""The registry: everything the console can do is there, with key, help and both other forms."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from dts_core.errors import ConfigError
from dts_tui import everywhere
from dts_tui.actions import Registry, allowed, forms, subject_of_jobs
from dts_tui.catalogue import ACTIONS, ADMIN, AREAS, OPERATE, READ, SUBMIT, Action
from dts_tui.screens.base import View
from dts_tui.screens.places import _SCREENS

VIEWS: list[type[View]] = [
    getattr(import_module(f"dts_tui.screens.{module}"), name) for module, name in _SCREENS.values()
]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_action_is_complete(action: Action) -> None:
    """Each has a name for `:` and `[keys]`, a title, one sentence of help, and a known permission."""
    assert re.fullmatch(r"[a-z][a-z-]*", action.name)
    assert action.title
    assert action.help.endswith(".")
    assert action.permission in (READ, SUBMIT, OPERATE, ADMIN)


@pytest.mark.parametrize(
    "action", [action for action in ACTIONS if action.writes], ids=lambda action: action.name
)
def test_what_writes_has_a_request(action: Action) -> None:
    """Whatever changes the server can be shown as a request, what leads to a form included."""
    if action.name in ("options", "external", "shell"):  # the last is a WebSocket
        return
    subject = {
        "function": "ns/f",
        "version": "ab",
        "revision": "2",
        "arguments": "--kw x=1",
        "body": "{}",
    }
    _, request = forms(action, subject | subject_of_jobs(["01A", "01B"]))
    assert request.split()[0] in ("POST", "PATCH", "DELETE")
    assert "{{" not in request


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_action_is_carried_out_by_something(action: Action) -> None:
    """On each screen that offers it, a method of the screen or of everywhere does it."""
    method = "do_" + action.name.replace("-", "_")
    if action.name in AREAS or hasattr(everywhere, method):
        return
    wanted = set(action.scopes) - {"wall-failed", "host-jobs"}
    able = {view.scope for view in VIEWS if hasattr(view, method)}
    assert wanted <= able if wanted else able


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_only_capitals_destroy(action: Action) -> None:
    """What stops, deletes or submits again sits on an upper-case key."""
    if action.name in ("cancel", "again", "delete", "default"):
        assert all(key.isupper() for key in action.keys)


def test_no_key_is_taken_twice_on_a_screen() -> None:
    """On one screen a key does one thing."""
    assert Registry().clashes() == []


def test_no_action_needs_a_key_that_terminals_keep() -> None:
    """No F-keys, alt or ctrl+shift."""
    keys = [key for action in ACTIONS for key in action.keys]
    assert not [key for key in keys if re.search(r"^f\d|alt|ctrl\+shift|super", key)]


def test_an_area_that_does_not_work_is_not_offered() -> None:
    """Each area has a screen, a name and the key of its place."""
    assert set(AREAS) <= set(_SCREENS)
    assert [Registry()[name].keys for name in AREAS] == [
        (str(number),) for number in range(1, len(AREAS) + 1)
    ]


def test_screens_own_keys_come_first() -> None:
    """`n` is a new job among jobs and the next hit in logs."""
    registry = Registry()
    names = {
        scope: action.name
        for scope in ("jobs", "logs", "functions")
        if (action := registry.by_key("n", scope))
    }
    assert names == {"jobs": "new", "logs": "next-hit", "functions": "create"}


def test_keys_can_be_remapped() -> None:
    """`[keys]` of tui.toml moves an action; a name that is unknown or a clash is refused with what was meant."""
    registry = Registry().remapped({"cancel": "K, ctrl+k"})
    assert registry["cancel"].keys == ("K", "ctrl+k")
    assert registry.by_key("C", "jobs") is None
    with pytest.raises(ConfigError, match="Did you mean `cancel`"):
        Registry().remapped({"cancle": "K"})
    with pytest.raises(ConfigError, match="is both"):
        Registry().remapped({"again": "C"})


def test_why_an_action_is_off() -> None:
    """Read-only, no server, too low a role: each is a reason in words; reading is always possible."""
    cancel = Registry()["cancel"]
    edit = Registry()["edit"]
    assert "read-only" in allowed(cancel, role="admin", read_only=True, connected=True)
    assert "unreachable" in allowed(cancel, role="admin", read_only=False, connected=False)
    assert (
        allowed(edit, role="submitter", read_only=False, connected=True)
        == "needs the role admin; yours is submitter"
    )
    assert allowed(cancel, role="submitter", read_only=False, connected=True) == ""
    assert allowed(Registry()["open"], role="viewer", read_only=True, connected=False) == ""


def test_forms_quote_what_they_name() -> None:
    """The command line shown for a marked job can be pasted into a shell."""
    command, request = forms(Registry()["cancel"], subject_of_jobs(["01A", "x; rm -rf ~"]))
    assert command == "dts cancel 01A 'x; rm -rf ~'"
    assert request == 'POST /jobs/cancel {"ids": ["01A", "x; rm -rf ~"]}'


def test_the_page_of_keys_is_the_registry() -> None:
    """docs/console.md is generated: run `python -m dts_tui.docs` after changing an action."""
    from dts_tui.docs import page

    stored = (Path(__file__).parents[2] / "docs" / "console.md").read_text("utf-8")
    assert stored == page()
