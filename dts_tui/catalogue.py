"""Everything the console can do, one entry each: name, keys, help, permission, and its two other forms."""

from dts_tui.admin_entries import ADMINISTERING, DESCRIBED, FILTERED
from dts_tui.entries import ADMIN, OPERATE, READ, SUBMIT, Action
from dts_tui.fanout_entries import FANNING_OUT
from dts_tui.function_entries import WRITING_FUNCTIONS
from dts_tui.host_setup_entries import SETTING_UP
from dts_tui.operating import OPERATING

__all__ = [
    "ACTIONS", "ADMIN", "AREAS", "OPERATE", "READ", "SUBMIT", "TYPING_SCOPES", "Action",
]  # fmt: skip

AREAS = ("wall", "jobs", "functions", "hosts", "logs", "alarms", "queues", "admin")


_AREA_HELP = {
    "wall": "Hosts, jobs, queues and alarms at a glance.",
    "jobs": "Jobs: filter, inspect, cancel, run again.",
    "functions": "Functions: read, edit, versions, run.",
    "hosts": "Hosts: live figures, charts, facts.",
    "logs": "Logs as they are written.",
    "alarms": "Alarms, open ones first.",
    "queues": "Queues and dead letters; pause and resume; the state of every part.",
    "admin": "Users, namespaces, virtual hosts, access tokens, the audit.",
}


_AREA_COMMAND = {
    "wall": ("dts status", "GET /status"),
    "jobs": ("dts jobs", "GET /jobs?{query}"),
    "functions": ("dts functions list", "GET /admin/functions"),
    "hosts": ("dts hosts list", "GET /hosts"),
    "logs": ("dts logs -f", "GET /logs?{query}"),
    "alarms": ("dts status", "GET /alarms"),
    "queues": ("dts queues list", "GET /queues"),
    "admin": ("", "GET /admin/schema"),
}


TYPING_SCOPES = (
    "submit",
    "host-call",
    "editor",
    "choose",
    "document-form",
    "document-toml",
    "secret-form",
    "setup-form",
    "import-form",
)
"""Screens where a text field has the keys: only what works while typing is named there."""


_LISTED = {name: _AREA_COMMAND[name] for name in ("hosts", "alarms", "queues")}
"""Areas whose records are had by their list alone."""


_LISTS = (
    "jobs",
    "functions",
    "hosts",
    "alarms",
    "queues",
    "dead",
    "documents",
    "operations",
    "tokens",
)


_SORTED = tuple(name for name in (*_LISTS, "me", "board") if name != "operations")


_MARKS = ("jobs", "logs", "me", "dead", "documents", "document", "tokens", "function")


_OPENED = (
    "wall", *_LISTS, "choose", "me", "logs", "host", "function", "admin", "document", "board",
)  # fmt: skip


_LOGGED = (
    "jobs", "job", "hosts", "host", "functions", "function", "wall", "alarms", "me", "board", "setup",
)  # fmt: skip


_READ = ("logs", "host-output")


_JOBS = ("jobs", "job", "me", "wall-failed", "host-jobs")


def _areas() -> list[Action]:
    return [
        Action(
            name,
            (str(number),),
            name.capitalize(),
            _AREA_HELP[name],
            command=_AREA_COMMAND[name][0],
            request=_AREA_COMMAND[name][1],
        )
        for number, name in enumerate(AREAS, 1)
    ]


ACTIONS: tuple[Action, ...] = (
    *_areas(),
    # moving
    Action("down", ("j", "down"), "down", "One line down."),
    Action("up", ("k", "up"), "up", "One line up."),
    Action("top", ("g", "home"), "top", "To the first line."),
    Action("bottom", ("G", "end"), "bottom", "To the last line."),
    Action("page-down", ("ctrl+d", "pagedown"), "page down", "Half a page down."),
    Action("page-up", ("ctrl+u", "pageup"), "page up", "Half a page up."),
    Action("next-tab", ("tab", "right"), "next tab", "The next tab or panel."),
    Action("previous-tab", ("shift+tab", "left"), "previous tab", "The tab or panel before."),
    Action(
        "open",
        ("enter",),
        "open",
        "Look into what is under the cursor.",
        footer=10,
        scopes=_OPENED,
    ),
    Action("back", ("escape",), "back", "Out of this; never quits.", typing=True),
    Action("older", ("[",), "back in history", "Back in what was looked at."),
    Action("newer", ("]",), "forward in history", "Forward in what was looked at."),
    # jobs
    Action(
        "cancel",
        ("C",),
        "cancel",
        "Stop the marked jobs, or the one under the cursor; asks first.",
        scopes=(*_JOBS, "board", "setup"),
        permission=SUBMIT,
        footer=28,
        command="dts cancel {ids}",
        request='POST /jobs/cancel {{"ids": {ids_json}}}',
    ),
    Action(
        "again",
        ("R",),
        "run again",
        "Submit the same call again with the same version; asks first.",
        scopes=_JOBS,
        permission=SUBMIT,
        footer=45,
        command="dts again {id}",
        request='POST /jobs/{id}/again {{"version": "same"}}',
    ),
    Action(
        "again-default",
        (),
        "run again, newest version",
        "Submit the same call again with the default version.",
        scopes=_JOBS,
        permission=SUBMIT,
        command="dts again {id} --newest",
        request='POST /jobs/{id}/again {{"version": "default"}}',
    ),
    Action(
        "new",
        ("n",),
        "new",
        "A new job: choose a function and fill in its form.",
        footer=20,
        anywhere=True,
        permission=SUBMIT,
        scopes=("wall", "jobs", "job", "me", "hosts", "host", "alarms", "queues"),
        command="dts submit NS/NAME",
        request="POST /jobs",
    ),
    Action(
        "describe",
        ("d",),
        "describe",
        "Every field of what is under the cursor.",
        scopes=(
            "jobs",
            "job",
            "functions",
            "hosts",
            "alarms",
            "queues",
            "dead",
            "wall",
            "me",
            "board",
            *DESCRIBED,
        ),
        command="dts job {id} --json",
        request="GET /jobs/{id}",
        elsewhere={
            "functions": ("dts functions show {function}", "GET /admin/functions/{function}"),
            "dead": ("dts dead show {id}", "GET /queues/dead-letters/{id}"),
            **DESCRIBED,
            **_LISTED,
        },
    ),
    Action(
        "job-logs",
        ("l",),
        "logs",
        "The log of what is under the cursor.",
        footer=30,
        scopes=_LOGGED,
        command="dts logs -f {log_options}",
        request="GET /logs?{log_query}",
    ),
    Action(
        "timeline",
        ("t",),
        "timeline",
        "The charts of a host, or the attempts of a job.",
        scopes=("job", "host", "hosts", "jobs", "alarms", "board"),
    ),
    # submit and functions
    Action(
        "submit",
        ("s",),
        "run",
        "Fill in the form of this function and submit it.",
        footer=20,
        permission=SUBMIT,
        scopes=("functions", "function", "hosts", "host"),
        command="dts submit {function}",
        request='POST /jobs {{"function": "{function}"}}',
    ),
    Action(
        "send",
        ("ctrl+s",),
        "send",
        "Send the form.",
        scopes=("submit",),
        permission=SUBMIT,
        footer=5,
        typing=True,
        command="dts submit {function} {arguments}",
        request="POST /jobs {body}",
    ),
    Action(
        "options",
        ("ctrl+t",),
        "options",
        "Unfold or fold the options: queue, host, timeout, retries, delay.",
        scopes=("submit",),
        footer=8,
        typing=True,
    ),
    *WRITING_FUNCTIONS,
    # lists
    Action(
        "filter",
        ("/",),
        "filter",
        "Show only what fits: words, !not, key=value, ~regex.",
        footer=60,
        scopes=(*_LISTS, "logs", "board"),
        command="dts jobs {filter_options}",
        request="GET /jobs?{query}",
        elsewhere={
            "functions": _AREA_COMMAND["functions"],
            "logs": _AREA_COMMAND["logs"],
            "board": ("dts ssh --show {id}", "GET /ssh/{id}/hosts"),
            "dead": ("dts dead list", "GET /queues/dead-letters"),
            **FILTERED,
            **_LISTED,
        },
    ),
    Action(
        "mark",
        ("space",),
        "mark",
        "Mark or unmark the line under the cursor.",
        scopes=_MARKS,
        footer=48,
    ),
    Action(
        "mark-all",
        ("*",),
        "mark all",
        "Mark everything that is shown.",
        scopes=_MARKS,
    ),
    Action("unmark", ("u",), "unmark", "Take all marks away.", scopes=_MARKS),
    Action("sort", ("o",), "sort", "Sort by the next column.", scopes=_SORTED),
    Action("reverse", ("O",), "reverse", "Turn the order round.", scopes=_SORTED),
    # logs
    Action(
        "follow",
        ("f",),
        "follow",
        "Follow the newest line, or stop following.",
        scopes=("logs", "job", "host-output"),
        footer=20,
    ),
    Action(
        "find",
        ("ctrl+f",),
        "find",
        "Search the shown lines; n and N step through the hits.",
        scopes=_READ,
        footer=50,
    ),
    Action("next-hit", ("n",), "next hit", "To the next hit of the search.", scopes=_READ),
    Action("previous-hit", ("N",), "previous hit", "To the hit before.", scopes=_READ),
    Action("wrap", ("w",), "wrap", "Fold long lines, or cut them.", scopes=("job", *_READ)),
    Action(
        "louder", ("+",), "higher level", "Show only higher levels.", scopes=("logs",), footer=55
    ),
    Action("quieter", ("-",), "lower level", "Show lower levels too.", scopes=("logs",)),
    Action(
        "only-host",
        ("h",),
        "this host",
        "Show only the host of this line, or all again.",
        scopes=("logs",),
        footer=57,
    ),
    Action(
        "terms",
        ("i",),
        "filters",
        "Switch the terms of the filter on and off one by one.",
        scopes=("logs",),
    ),
    Action(
        "context",
        ("c",),
        "context",
        "Show what stands around this line, without the filter.",
        scopes=("logs",),
    ),
    Action("clear", (), "clear", "Empty the shown lines; new ones keep coming.", scopes=("logs",)),
    *OPERATING,
    *FANNING_OUT,
    *ADMINISTERING,
    *SETTING_UP,
    # everywhere
    Action("pause", ("p",), "pause", "Stop or resume refreshing; shows since when."),
    Action("refresh", ("r",), "refresh", "Ask the server now."),
    Action(
        "side",
        ("v",),
        "panels",
        "Show or hide the side panels where there is little room.",
        scopes=("wall",),
    ),
    Action("zoom", ("z",), "zoom", "Show one panel alone, or all again.", scopes=("wall",)),
    Action(
        "copy", ("y",), "copy", "Copy what is under the cursor to the clipboard of the terminal."
    ),
    Action("export", ("x",), "export", "Write what is shown to a file that only you can read."),
    Action(
        "explain",
        (".",),
        "as command",
        "Show every action here as a command line and as an HTTP request.",
    ),
    Action("command", (":",), "command", "The command line, with completion.", footer=80),
    Action("palette", ("ctrl+p",), "palette", "Find any action by typing and run it.", typing=True),
    Action(
        "help", ("?",), "keys", "The keys of this screen; type to find, enter to run.", footer=90
    ),
    Action(
        "me",
        (),
        "me",
        "Your own jobs: counts and the last fifty.",
        command="dts me",
        request="GET /session",
    ),
    Action("theme", (), "theme", "The next theme: dark, light, contrast, colourblind."),
    Action("utc", (), "UTC", "Show times in UTC, or in your own zone again."),
    Action(
        "mouse",
        (),
        "mouse",
        "Give the mouse to the terminal, to select text; again to take it back.",
    ),
    Action("notices", (), "notices", "The last notices of this console."),
    Action("quit", ("ctrl+q",), "quit", "Leave the console.", typing=True),
)
