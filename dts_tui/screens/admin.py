"""Admin: what can be administered, and why something cannot."""

from collections.abc import Iterable
from typing import NamedTuple

from dts_tui.admin_documents import TITLES
from dts_tui.draw import Line
from dts_tui.screens.lists import WorldList
from dts_tui.widgets.table import Column


class Part(NamedTuple):
    """One thing that is administered, named as its action."""

    name: str
    title: str
    told: str


class Admin(WorldList[Part]):
    """The collections and the audit; enter opens one."""

    scope = area = "admin"

    def key(self, item: Part) -> str:
        """Its action."""
        return item.name

    def records(self) -> Iterable[Part]:
        """All of them, also those that this user may not see."""
        registry = self.console.registry
        titles = {**TITLES, "password": registry["password"].title}
        return [Part(name, title, registry[name].help) for name, title in titles.items()]

    def record(self, item: Part) -> dict[str, str]:
        """For an export."""
        return {"name": item.title, "is": item.told}

    def columns(self) -> list[Column[Part]]:
        """What it is, and why not."""
        return [
            Column("what", lambda part, w: (part.title, "strong"), 18, keep=9),
            Column("command", lambda part, w: (f":{part.name}", "key"), 12, keep=5),
            Column("", self._told, 30, grow=1, keep=8),
        ]

    def _told(self, part: Part, width: int) -> tuple[str, str]:
        why = self.console.why_not(part.name)
        return (f"⊘ {why}", "warn") if why else (part.told, "dim")

    def _title(self) -> tuple[Line, Line]:
        return [("admin", "title"), (" ─ enter opens, tab goes from one to the next", "dim")], []

    def do_open(self) -> None:
        """The list under the cursor, or why it is closed."""
        if (part := self.rows.current) is not None:
            self.console.run_named(part.name)

    do_describe = do_open

    def do_next_tab(self) -> None:
        """The first of them."""
        self.console.run_named(next(iter(TITLES)))

    def do_previous_tab(self) -> None:
        """The last of them."""
        self.console.run_named(list(TITLES)[-1])
