"""Which screen shows a place."""

from importlib import import_module

from dts_tui.screens.base import Place, View

_SCREENS = {
    "wall": ("wall", "Wall"),
    "jobs": ("jobs", "Jobs"),
    "job": ("job", "JobPage"),
    "me": ("me", "Me"),
    "choose": ("submit", "Choose"),
    "form": ("submit", "Submit"),
    "functions": ("functions", "Functions"),
    "function": ("function", "FunctionPage"),
    "editor": ("editor", "Editor"),
    "hosts": ("hosts", "Hosts"),
    "host": ("host", "HostPage"),
    "logs": ("logs", "Logs"),
    "alarms": ("alarms", "Alarms"),
    "queues": ("queues", "Queues"),
    "dead": ("dead", "DeadLetters"),
}


def make(place: Place) -> View:
    """A new screen for a place; its module is loaded at the first use, so that the start stays quick."""
    module, name = _SCREENS[place.kind]
    kind = getattr(import_module(f"dts_tui.screens.{module}"), name)
    view = kind(place)
    assert isinstance(view, View)
    return view
