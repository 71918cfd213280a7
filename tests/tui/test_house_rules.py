"""Rules of the console's own code, held by reading it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import dts_tui

FILES = sorted(Path(dts_tui.__file__).parent.rglob("*.py"))
STATELESS = ("state", "rows", "ring", "filters", "forms", "actions", "catalogue", "draw", "words", "glyphs", "job_text",
             "wall_drawing", "host_drawing", "scene", "text_of", "once", "cli",
             "admin_documents", "admin_form", "admin_entries",
             "host_import", "remembering", "host_setup", "host_setup_steps", "host_setup_lines", "host_setup_report",
             "host_setup_drawing")  # fmt: skip
SAFE_WIDGETS = {"Input", "TextArea"}


def _imports(file: Path) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def test_no_widget_that_reads_markup_is_used() -> None:
    """Of Textual's widgets only those that take typing: every other one would interpret `[...]` in data."""
    used = {
        name for file in FILES for module, name in _imports(file) if module == "textual.widgets"
    }
    assert used <= SAFE_WIDGETS


def test_nothing_is_handed_to_textuals_own_text() -> None:
    """No toast, no border title, no window title from data: all three read markup or reach the terminal's title."""
    banned = {"notify", "border_title", "border_subtitle", "sub_title", "tooltip"}
    found = [
        f"{file.name}:{node.lineno} {node.attr}"
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in banned
    ]
    assert found == []


def test_rules_and_drawing_know_no_textual() -> None:
    """State, filters, forms, actions and drawing are tested without a terminal, so they must not need one."""
    strays = [
        f"{file.stem}: {module}"
        for file in FILES
        if file.parent.name == "dts_tui" and file.stem in STATELESS
        for module, _ in _imports(file)
        if module.split(".")[0] in ("textual", "httpx") and file.stem != "cli"
    ]
    assert strays == []


def test_only_the_feed_talks_to_the_server() -> None:
    """Screens describe calls; one place makes them, with one guard against writes."""
    callers = [
        f"{file.stem}:{node.lineno}"
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("Client", "AdminClient")
    ]
    assert {caller.split(":")[0] for caller in callers} == {"cli"}


def test_files_stay_short() -> None:
    """One idea a file."""
    long = [
        f"{file.name}: {count}"
        for file in FILES
        if (count := len(file.read_text("utf-8").split("\n"))) > 430
    ]
    assert long == []
