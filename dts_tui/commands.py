"""The `:` line: areas with a filter, places by name, every action by its name."""

from typing import TYPE_CHECKING

from dts_core.errors import DtsError
from dts_tui import themes
from dts_tui.catalogue import AREAS
from dts_tui.screens.base import Place

if TYPE_CHECKING:
    from dts_tui.app import Console

ALIASES = {
    "q": "quit", "q!": "quit", "wq": "quit", "exit": "quit", "h": "help", "fn": "functions", "log": "logs",
    "job": "job", "j": "jobs", "f": "functions", "alarm": "alarms", "queue": "queues", "run": "submit",
}  # fmt: skip
_PLACES = ("job", "host", "function", "submit")
_WITH_TEXT = ("filter", "find", "theme", *_PLACES, *AREAS)


def complete(console: "Console", text: str) -> list[str]:
    """Whole lines that the present one may become, best first."""
    head, space, rest = text.lstrip().partition(" ")
    if not space:
        names = sorted(
            {
                *AREAS,
                *_PLACES,
                *(action.name for action in console.registry.here(console.scope)),
                "filter",
            }
        )
        return [name for name in names if name.startswith(head)][:12]
    head = ALIASES.get(head, head)
    before, gap, last = rest.rpartition(" ")
    start = f"{head} {before}{gap}"
    return [start + value for value in _values(console, head) if value.startswith(last)][:12]


def _values(console: "Console", head: str) -> list[str]:
    if head == "theme":
        return list(themes.NAMES)
    if head == "host":
        return sorted(host.name for host in console.world.hosts)
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
    head, rest = ALIASES.get(head, head), rest.strip()
    try:
        if head in AREAS:
            console.go(Place(head, _filter_of(rest) if rest else ""))
        elif head in _PLACES and rest:
            console.go(Place("form" if head == "submit" else head, rest))
        elif head == "theme" and rest:
            console.use_theme(rest)
        elif head in ("filter", "find") and console.view is not None:
            setter = getattr(console.view, "set_filter" if head == "filter" else "set_search", None)
            if setter is not None:
                setter(rest)
        elif head in console.registry:
            console.run_named(head)
        else:
            console.notice(
                f"there is no command `{head}`; `?` lists the actions of this screen", "warn"
            )
    except DtsError as error:
        console.notice(str(error), "bad")


def _filter_of(rest: str) -> str:
    """The filter in `-f level=error`: following is what Logs does anyway."""
    return " ".join(word for word in rest.split() if word not in ("-f", "--follow")) or " "
