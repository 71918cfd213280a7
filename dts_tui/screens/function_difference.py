"""What lies between two versions of a function."""

import difflib

from dts_core.views import SourceView
from dts_tui.draw import Line
from dts_tui.safe import safe_lines
from dts_tui.screens.base import View
from dts_tui.widgets.overlays import Reader

LINES_MOST = 5000
_STYLES = {"+": "good", "-": "bad", "@": "accent"}


def show_difference(view: View, function: str, before: str, after: str) -> None:
    """Ask for both sources, then show line by line what differs.

    Args:
        view: On whose behalf it is asked; when one leaves it, nothing opens.
        function: Its id.
        before: Hash of the older version.
        after: Hash of the newer one.
    """

    def show(old: SourceView, new: SourceView) -> None:
        lines = difference_lines(old, new)
        title = f"{function}: from {before[:10]} to {after[:10]}"
        view.console.open_overlay(Reader(title, lambda width: lines))

    def got(old: SourceView) -> None:
        view.ask(
            "new",
            lambda client: client.functions.source(function, version=after),
            lambda new: show(old, new),
        )

    view.ask("old", lambda client: client.functions.source(function, version=before), got)


def difference_lines(old: SourceView, new: SourceView) -> list[Line]:
    """A unified difference, each line in its colour."""
    told = difflib.unified_diff(
        safe_lines(old.source),
        safe_lines(new.source),
        old.hash[:10],
        new.hash[:10],
        lineterm="",
        n=3,
    )
    return [[(text, _STYLES.get(text[:1], "dim"))] for text in [*told][:LINES_MOST]] or [
        [("no line differs", "dim")]
    ]
