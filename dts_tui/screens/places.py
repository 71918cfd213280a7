"""Which screen shows a place."""

from importlib import import_module

from dts_tui.screens.base import Place, View

_SCREENS = {
    "wall": ("wall", "Wall"),
    "jobs": ("jobs", "Jobs"),
    "job": ("job", "JobPage"),
    "board": ("fanout_board", "Board"),
    "host-output": ("host_output", "HostOutput"),
    "host-call": ("host_call", "HostCall"),
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
    "admin": ("admin", "Admin"),
    "users": ("admin_documents", "Documents"),
    "namespaces": ("admin_documents", "Documents"),
    "vhosts": ("admin_documents", "Documents"),
    "document": ("admin_document", "DocumentPage"),
    "document-form": ("admin_form", "DocumentEditor"),
    "document-toml": ("admin_toml", "DocumentText"),
    "setup": ("setup", "SetUpPage"),
    "setup-address": ("setup_forms", "SetUpAddress"),
    "setup-login": ("setup_forms", "SetUpLogin"),
    "setup-options": ("setup_forms", "SetUpOptions"),
    "import": ("host_importing", "ImportForm"),
    "import-plan": ("host_importing", "ImportPlanPage"),
    "tokens": ("admin_tokens", "Tokens"),
    "token-form": ("secret_forms", "TokenForm"),
    "password": ("secret_forms", "PasswordForm"),
    "reset": ("secret_forms", "ResetForm"),
    "operations": ("admin_operations", "Operations"),
}


def make(place: Place) -> View:
    """A new screen for a place; its module is loaded at the first use, so that the start stays quick."""
    module, name = _SCREENS[place.kind]
    kind = getattr(import_module(f"dts_tui.screens.{module}"), name)
    view = kind(place)
    assert isinstance(view, View)
    return view
