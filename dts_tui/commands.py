"""The `:` line: areas with a filter, places by name, every action by its name."""

import re
from typing import TYPE_CHECKING

from dts_core.errors import DtsError
from dts_tui import themes
from dts_tui.catalogue import AREAS
from dts_tui.completing import NAMED, names
from dts_tui.screens.base import Place

if TYPE_CHECKING:
    from dts_tui.app import Console

ALIASES = {
    "q": "quit", "q!": "quit", "wq": "quit", "exit": "quit", "h": "help", "fn": "functions", "log": "logs",
    "job": "job", "dl": "dead", "j": "jobs", "f": "functions", "alarm": "alarms", "queue": "queues", "run": "submit",
    "user": "users", "ns": "namespaces", "namespace": "namespaces", "vhost": "vhosts", "audit": "operations",
    "token": "tokens",
}  # fmt: skip
_WORD = re.compile(r"[\w.-]+")
"""A name, and no filter."""
_BROWSED = ("users", "namespaces", "vhosts", "tokens", "operations")
"""Lists that take a filter and are no area."""
_PLACES = ("job", "host", "function", "submit")
_WITH_TEXT = ("filter", "find", "theme", *_PLACES, *AREAS)


def complete(console: "Console", text: str) -> list[str]:
    """Whole lines that the present one may become, best first."""
    head, space, rest = text.lstrip().partition(" ")
    if not space:
        words = sorted(
            {
                *AREAS,
                *_PLACES,
                *(name for name in NAMED if name != "ns"),
                *(action.name for action in console.registry.here(console.scope)),
                "filter",
                "dead",
                *(each.name for each in console.registry.actions if each.anywhere),
            }
        )
        return [word for word in words if word.startswith(head)][:12]
    if head in NAMED and " " not in rest:
        return [f"{head} {name}" for name in names(console, NAMED[head], rest)]
    head = ALIASES.get(head, head)
    before, gap, last = rest.rpartition(" ")
    start = f"{head} {before}{gap}"
    return [start + value for value in _values(console, head) if value.startswith(last)][:12]


def _values(console: "Console", head: str) -> list[str]:
    if head == "theme":
        return list(themes.NAMES)
    if head == "host":
        return sorted(host.name for host in console.world.hosts)
    if head == "dead":
        return sorted(queue.name for queue in console.world.queues if queue.dead)
    if head in ("function", "submit"):
        return sorted(console.known_functions)
    if head == "jobs":
        return [
            "failed",
            "running",
            "queued",
            "done",
            "retrying",
            "dead",
            "state=",
            "ns=",
            "fn=",
            "host=",
            "by=",
            "queue=",
        ]
    if head == "logs":
        return ["-f", "level=error", "level=warning", "host=", "job=", "source="]
    return []


def perform(console: "Console", text: str) -> None:
    """Do what the line says; an unknown word says what there is."""
    head, _, rest = text.strip().lstrip(":").partition(" ")
    rest = rest.strip()
    of = NAMED.get(head, "") if _WORD.fullmatch(rest) else ""
    head = ALIASES.get(head, head)
    head = "all-dead-letters" if head == "dead" and not rest else head
    try:
        if of:
            _browse(console, of, Place("document", f"{of}/{rest}"))
        elif head in AREAS:
            console.go(Place(head, _filter_of(rest) if rest else ""))
        elif head in _BROWSED and rest:
            _browse(console, head, Place(head, rest))
        elif head in _PLACES and rest:
            console.go(Place("form" if head == "submit" else head, rest))
        elif head == "theme" and rest:
            console.use_theme(rest)
        elif head in ("filter", "find") and console.view is not None:
            setter = getattr(console.view, "set_filter" if head == "filter" else "set_search", None)
            if setter is not None:
                setter(rest)
        elif head == "dead" and rest:
            _dead_letters_of(console, rest)
        elif head in console.registry:
            _run(console, head)
        else:
            console.notice(
                f"there is no command `{head}`; `?` lists the actions of this screen", "warn"
            )
    except DtsError as error:
        console.notice(str(error), "bad")


def _browse(console: "Console", name: str, wanted: Place) -> None:
    if why := console.why_not(name):
        console.notice(f"{name}: {why}", "warn")
    else:
        console.go(wanted)


def _dead_letters_of(console: "Console", queue: str) -> None:
    if why := console.why_not("dead-letters"):
        console.notice(f"dead letters: {why}", "warn")
    else:
        console.go(Place("dead", queue))


def _run(console: "Console", name: str) -> None:
    action = console.registry[name]
    if action.offered(console.scope) or action.anywhere:
        console.run_named(name)
    else:
        console.notice(
            f"`{name}` is not for this screen, but for {', '.join(action.scopes)}", "warn"
        )


def _filter_of(rest: str) -> str:
    """The filter in `-f level=error`: following is what Logs does anyway."""
    return " ".join(word for word in rest.split() if word not in ("-f", "--follow")) or " "
