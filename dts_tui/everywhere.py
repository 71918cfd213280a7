"""What can be done on every screen: move about, ask, copy, export, change the looks."""

import asyncio
import csv
import io
import json
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dts_core.plain import words
from dts_core.text import clean, clean_lines
from dts_tui import themes
from dts_tui.actions import forbidden, forms, key_label
from dts_tui.catalogue import Action
from dts_tui.commands import complete, perform
from dts_tui.draw import Line, wrap
from dts_tui.parts_drawing import parts_in_full
from dts_tui.safe import CLIPBOARD_MAX, EXPORT_MAX
from dts_tui.screens.admin_mail import ask_mail_test
from dts_tui.screens.base import Place
from dts_tui.widgets.overlays import Choice, Picker, Reader

if TYPE_CHECKING:
    from dts_tui.app import Console


COPIED_LINES_MAX = 20
"""Most lines that are copied as one; more go to a file."""


def do_nothing(console: "Console") -> None:
    """An action that this screen has no use for."""
    del console


def do_back(console: "Console") -> None:
    """Undo what is special here, or go out of it; never quits."""
    view = console.view
    if view is None or view.step_out():
        return
    if view.place.kind != view.area:
        place = console.trail.older()
        console.go(place if place is not None else Place(view.area), record=place is None)


def do_new(console: "Console") -> None:
    """Choose a function."""
    console.go(Place("choose"))


def do_all_dead_letters(console: "Console") -> None:
    """Those of every queue."""
    console.go(Place("dead"))


def do_users(console: "Console") -> None:
    """Who may ask."""
    console.go(Place("users"))


def do_namespaces(console: "Console") -> None:
    """What owns functions."""
    console.go(Place("namespaces"))


def do_vhosts(console: "Console") -> None:
    """Machines reached by SSH."""
    console.go(Place("vhosts"))


def do_add_host(console: "Console") -> None:
    """Where a new host is; then step by step."""
    console.go(Place("setup-address", "vhosts/"))


def do_import_hosts(console: "Console") -> None:
    """Of a file on this machine."""
    console.go(Place("import"))


def do_tokens(console: "Console") -> None:
    """Access tokens."""
    console.go(Place("tokens"))


def do_operations(console: "Console") -> None:
    """The audit."""
    console.go(Place("operations"))


def do_password(console: "Console") -> None:
    """One's own secret."""
    console.go(Place("password"))


def do_mail_test(console: "Console") -> None:
    """A test mail to a group."""
    ask_mail_test(console, [])


def do_parts(console: "Console") -> None:
    """Every part and worker over the screen, live."""

    def lines(width: int) -> list[Line]:
        status = console.world.status
        return parts_in_full(status, console.now(), width) if status is not None else []

    if console.world.status is None:
        console.notice("nothing is known yet: the server has not answered", "warn")
    else:
        console.open_overlay(Reader("parts", lines, live=True))


def do_older(console: "Console") -> None:
    """Back in what was looked at."""
    if (place := console.trail.older()) is not None:
        console.go(place, record=False)


def do_newer(console: "Console") -> None:
    """Forward in what was looked at."""
    if (place := console.trail.newer()) is not None:
        console.go(place, record=False)


def do_quit(console: "Console") -> None:
    """Leave."""
    console.exit()


def do_me(console: "Console") -> None:
    """One's own jobs."""
    console.go(Place("me"))


def do_pause(console: "Console") -> None:
    """Stop or resume refreshing."""
    world = console.world
    if world.paused_at is None:
        world.paused_at = time.monotonic()
        console.notice("paused: what is shown stays; p again goes on", "warn")
    else:
        world.paused_at = None
        console.feed.wake()
        if console.view is not None:
            console.view.refresh_data()


def do_theme(console: "Console") -> None:
    """The next theme."""
    names = themes.NAMES
    name = (
        names[(names.index(console.theme) + 1) % len(names)] if console.theme in names else names[0]
    )
    console.use_theme(name)
    console.notice(f"theme {name}")


def do_utc(console: "Console") -> None:
    """Times in UTC, or in the reader's zone."""
    console.utc = not console.utc
    console.use_theme(console.theme)


def do_mouse(console: "Console") -> None:
    """Give the mouse to the terminal, or take it back."""
    driver = console._driver
    if driver is None:
        return
    taken = getattr(driver, "_mouse", True)
    switch = getattr(driver, "_disable_mouse_support" if taken else "_enable_mouse_support", None)
    if switch is None:
        console.notice("this terminal's driver cannot switch the mouse", "warn")
        return
    if not taken:
        driver._mouse = True
    switch()
    driver._mouse = not taken
    console.notice(
        "the mouse selects text in the terminal now"
        if taken
        else "the mouse works in the console again"
    )


# --- finding an action --------------------------------------------------------------------------


def do_command(console: "Console") -> None:
    """The command line."""
    console.world.documents.names.clear()
    console.prompt.ask(
        "command", ":", "",
        lambda text: _performed(console, text),
        complete=lambda text: complete(console, text),
    )  # fmt: skip


def _performed(console: "Console", text: str) -> None:
    console.close_prompt()
    if text:
        perform(console, text)


def do_help(console: "Console") -> None:
    """The keys of this screen, then those of everywhere."""
    console.open_overlay(
        Picker(f"keys ─ {console.scope}", lambda: _choices(console, here=True), console.run_named)
    )


def do_palette(console: "Console") -> None:
    """Every action that can be run here."""
    console.open_overlay(
        Picker("actions", lambda: _choices(console, here=False), console.run_named)
    )


def _choices(console: "Console", *, here: bool) -> list[Choice]:
    actions = console.registry.here(console.scope)
    if not here:
        more = [each for each in console.registry.actions if each.anywhere and each not in actions]
        actions = sorted([*actions, *more], key=lambda action: action.name)
    view = console.view
    useful = [
        each
        for each in actions
        if (each.keys or not here) and (view is None or view.has_use(each.name))
    ]
    useful.sort(key=lambda action: bool(forbidden(action, console.world.role)))
    return [_choice(console, action) for action in useful]


def _choice(console: "Console", action: Action) -> Choice:
    keys = " ".join(key_label(key) for key in action.keys[:2])
    title = action.name.replace("-", " ") if not action.scopes else action.title
    return Choice(action.name, title, action.help, keys, console.why_not(action.name))


def do_explain(console: "Console") -> None:
    """Every action here as a command line and as a request."""
    subject = console.view.subject() if console.view else {}
    actions = [
        action
        for action in console.registry.here(console.scope)
        if action.command or action.request
    ]
    own = [action for action in actions if action.scopes] or actions

    def make(width: int) -> list[Line]:
        out: list[Line] = []
        for action in own:
            command, request = forms(action, subject, console.scope)
            key = key_label(action.keys[0]) if action.keys else ":" + action.name
            out.append([(f"{key}  ", "key"), (action.title, "strong")])
            out += [[("   " + text, "dim")] for text in wrap(action.help, width - 4)]
            for text, style in ((command, "accent"), (request, "text")):
                out += [
                    [("   " + clean(line), style)]
                    for line in (wrap(text, width - 4) if text else [])
                ]
            out.append([])
        return out

    console.open_overlay(Reader("the same as command and as request", make))


def do_notices(console: "Console") -> None:
    """What was said lately."""
    styles = {"good": "text", "warn": "warn", "bad": "bad"}

    def make(width: int) -> list[Line]:
        out: list[Line] = []
        for at, text, kind in reversed(console.notices):
            for index, line in enumerate(wrap(text, max(width - 10, 10))):
                out.append(
                    [
                        (f"{words.clock(at, utc=console.utc)}  " if not index else " " * 10, "dim"),
                        (line, styles[kind]),
                    ]
                )
        return out or [[("nothing was said yet", "dim")]]

    console.open_overlay(Reader("notices", make))


# --- copy and export ----------------------------------------------------------------------------


def do_copy(console: "Console") -> None:
    """Copy what is under the cursor."""
    text = console.view.copied() if console.view else ""
    if not text:
        console.notice("nothing to copy here", "warn")
        return
    copy_text(console, text)


def copy_text(console: "Console", text: str) -> None:
    """Send text to the terminal's clipboard, cleaned and as one line; a longer text goes to a file.

    A line end in a clipboard runs a command when it is pasted into a shell.
    """
    safe = clean_lines(text).strip()
    lines = safe.split("\n")
    one = " ".join(line.strip() for line in lines)
    if len(lines) > COPIED_LINES_MAX or len(one.encode("utf-8")) * 4 // 3 > CLIPBOARD_MAX:
        console.background(partial(_write, console, "copied.txt", safe), "export")
        return
    console.copy_to_clipboard(one)
    joined = f", {len(lines)} lines as one" if len(lines) > 1 else ""
    console.notice(f"copied {words.plural(len(one), 'character')}{joined}")


def do_export(console: "Console") -> None:
    """Ask for the form, then write the file."""
    records = console.view.exported() if console.view else []
    if not records:
        console.notice("nothing to export here", "warn")
        return
    choices = [
        Choice("json", "JSON", f"{words.plural(len(records), 'record')}, one list"),
        Choice("csv", "CSV", "with a heading, for spreadsheets"),
        Choice("text", "text", "as columns of text"),
    ]
    area = console.area or "view"
    console.open_overlay(
        Picker("export", lambda: choices, lambda kind: _export(console, area, kind, records))
    )


def _export(console: "Console", area: str, kind: str, records: list[dict[str, str]]) -> None:
    stamp = console.now().strftime("%Y%m%d-%H%M%S")
    ending = {"json": "json", "csv": "csv", "text": "txt"}[kind]
    console.background(
        partial(_write, console, f"dts-{area}-{stamp}.{ending}", rendered(kind, records)), "export"
    )


def rendered(kind: str, records: list[dict[str, str]]) -> str:
    """Records as JSON, CSV or text, every value cleaned; a cell that a spreadsheet would run is quoted."""
    safe = [{name: clean_lines(value) for name, value in record.items()} for record in records]
    if kind == "json":
        return json.dumps(safe, ensure_ascii=False, indent=1) + "\n"
    if kind == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, list(safe[0]), extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _inert(value) for name, value in record.items()} for record in safe)
        return out.getvalue()
    return (
        "\n".join(
            "  ".join(value.replace("\n", " ") for value in record.values()) for record in safe
        )
        + "\n"
    )


def _inert(value: str) -> str:
    return "'" + value if value[:1] in ("=", "+", "-", "@", "\t") else value


async def _write(console: "Console", name: str, text: str) -> None:
    try:
        path = await asyncio.to_thread(write_private, Path.cwd() / name, text[:EXPORT_MAX])
    except OSError as error:
        console.notice(f"{name} was not written: {error.strerror}", "bad")
    else:
        console.notice(f"written, only you can read it: {path}")


def write_private(path: Path, text: str) -> Path:
    """Write a new file of mode 0600; a name that is taken gets a number."""
    for number in range(1, 100):
        target = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
        return target
    raise FileExistsError(17, "too many files of this name", str(path))
