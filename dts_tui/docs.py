"""Writes docs/console.md from the registry: `python -m dts_tui.docs`."""

from pathlib import Path

from dts_tui.actions import ROLE_FOR, key_label
from dts_tui.catalogue import ACTIONS, READ, Action

_HEAD = """# The console

`dts-tui` shows one server: hosts, jobs, queues and alarms live, logs as they are written,
functions with their source. It works by keys alone; the mouse works too. It finds the server as
every client command does (`--url`, `--context`, `--data`, their variables, else the embedded
stack of this user).

![The Wall](pictures/wall.svg)

| | |
| --- | --- |
| `dts-tui --once` | prints the dashboard as text and leaves; exits 1 with one line when the server does not answer |
| `dts-tui --snapshot FILE.svg [--size 120x36] [--area logs]` | draws one screen into a file |
| `dts-tui --read-only` | changes nothing on the server, whatever the keys |
| `DTS_ASCII=1`, `NO_COLOR=1` | ASCII characters only; no colours |
| `tui.toml` | theme, refresh, mouse, lines kept, first area, and `[keys]`: `action = "key"` |

## Ages

Every panel says how old its data is. Data older than two intervals is dimmed and marked `stale`.
When the server does not answer, a bar says since when and when it is tried again; everything that
writes is off, with that reason; the console recovers by itself, also when the server comes back
on another port.

## Filters

| | |
| --- | --- |
| `boom` | the word stands anywhere, whatever its case |
| `"two words"` | both, together |
| `!boom` | it does not |
| `state=failed,dead`, `host=web-*`, `by!=anna` | a field; a comma separates alternatives, a star stands for anything |
| `~time(d )?out`, `error~^Value` | a regular expression, anywhere or in one field |
| `failed` | among jobs, the name of a state asks for that state |

All terms must hold. In Logs `i` switches them on and off one by one, and `c` shows what stands
around a line without the filter.

"""
_SCOPES = (
    ("jobs", "Jobs"),
    ("job", "One job"),
    ("choose", "A new job: the function"),
    ("submit", "A new job: the form"),
    ("functions", "Functions"),
    ("function", "One function"),
    ("editor", "The editor"),
    ("hosts", "Hosts"),
    ("host", "One host"),
    ("logs", "Logs"),
    ("alarms", "Alarms"),
    ("queues", "Queues"),
    ("dead", "Dead letters"),
    ("wall", "The Wall"),
)


def page() -> str:
    """The whole page."""
    parts = [
        _HEAD,
        "## Keys everywhere\n\n",
        _table([action for action in ACTIONS if not action.scopes]),
    ]
    for scope, title in _SCOPES:
        parts.append(f"\n## {title}\n\n")
        parts.append(_table([action for action in ACTIONS if scope in action.scopes]))
    return "".join(parts)


def _table(actions: list[Action]) -> str:
    rows = ["| key | `:` name | does | needs |\n", "| --- | --- | --- | --- |\n"]
    for action in actions:
        keys = " ".join(f"`{_cell(key_label(key))}`" for key in action.keys) or "–"
        needs = ROLE_FOR[action.permission] if action.permission != READ else ""
        rows.append(f"| {keys} | {action.name} | {_cell(action.help)} | {needs} |\n")
    return "".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    Path(__file__).parents[1].joinpath("docs", "console.md").write_text(page(), encoding="utf-8")
