"""One document: all its fields, who changed it last, and its history below."""

import shlex
from urllib.parse import quote

from textual.app import ComposeResult
from textual.widget import Widget

from dts_core.errors import ApiError, DtsError
from dts_core.plain import words
from dts_core.text import clean
from dts_core.views.operations import Difference, OperationList, OperationView
from dts_tui.admin_documents import TITLES, Doc, facts, has_use, record
from dts_tui.draw import Line, wrap
from dts_tui.rows import Rows
from dts_tui.screens.admin_asking import ask_schema
from dts_tui.screens.admin_bulk import ask_switch
from dts_tui.screens.admin_deleting import ask_delete
from dts_tui.screens.admin_mail import ask_mail_test
from dts_tui.screens.admin_operations import change_lines, outcome_columns, show_operation
from dts_tui.screens.base import Place
from dts_tui.screens.host_choosing import call_on, hosts_subject
from dts_tui.screens.host_shell import open_shell, shell_subject
from dts_tui.screens.lists import Marking
from dts_tui.screens.setup_doing import open_setup
from dts_tui.widgets.lines import Lines
from dts_tui.widgets.overlays import Reader, pairs
from dts_tui.widgets.table import Column, Table

HISTORY_PAGE = 100


class DocumentPage(Marking):
    """A document of `place.key`: collection/id."""

    scope, area = "document", "admin"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.collection, _, self.doc_id = place.key.partition("/")
        self.document: Doc | None = None
        self._why = self._history_why = ""
        self._told = False
        """Whether there was any answer about its history."""
        self._next = 0
        self.rows: Rows[OperationView] = Rows(lambda operation: operation.id)
        self._facts = Lines(self._fact_lines, self._facts_title)
        self.table = Table(self.rows, self._columns(), self._history_title, self._no_history)
        self._at_facts = False

    def crumbs(self) -> list[str]:
        """Below its collection."""
        return ["Admin", TITLES.get(self.collection, self.collection), self.doc_id]

    def compose(self) -> ComposeResult:
        """Its fields, and its history below."""
        self._facts.styles.height = "3fr"
        self.table.styles.height = "2fr"
        yield self._facts
        yield self.table

    def main(self) -> Widget:
        """The history, or the fields after tab."""
        return self._facts if self._at_facts else self.table

    def entered(self) -> None:
        """Ask for all of it."""
        if self.collection not in self.console.world.documents.schemas:
            ask_schema(self, self._facts.redraw)
        self.refresh_data()

    def world_changed(self) -> None:
        """What found no server is asked for again."""
        if (
            self.document is None
            and self._why
            and not self._told
            and self.console.world.connection.up
        ):
            self._why = ""
            self.refresh_data()

    def refresh_data(self) -> None:
        """The document and the newest of its history."""
        name, doc_id = self.collection, self.doc_id

        def got(document: Doc) -> None:
            self.document, self._why = document, ""
            self._facts.redraw()
            self.console.scope_changed()

        def failed(error: DtsError) -> None:
            if isinstance(error, ApiError) and error.answer_status == 404:
                self.document = None
            self._why = str(error)
            self._facts.redraw()

        self.ask("document", lambda client: client.collection(name).get(doc_id), got, failed=failed)
        self._history_why = self.console.why_not("operations")
        if not self._history_why:
            self._ask_history(before=0)

    def _ask_history(self, *, before: int) -> None:
        name, doc_id = self.collection, self.doc_id

        def got(page: OperationList) -> None:
            self._told, self._next = True, page.next
            if before:
                self.rows.extend(page.items)
            else:
                self.rows.replace(page.items)
            self.table.redraw()
            self._facts.redraw()

        def failed(error: DtsError) -> None:
            self._history_why = str(error)
            self.table.redraw()

        self.ask(
            "history",
            lambda client: client.operations.list(
                collection=name, doc_id=doc_id, before=before, limit=HISTORY_PAGE
            ),
            got,
            failed=failed,
        )

    def on_table_reached(self) -> None:
        """The end is near: older ones."""
        if self._next:
            self._ask_history(before=self._next)

    def on_table_opened(self) -> None:
        """As enter."""
        self.do_open()

    def tick(self) -> None:
        """Ages move."""
        self._facts.redraw()
        self.table.redraw()

    # --- drawing --------------------------------------------------------------------------------

    def _facts_title(self) -> tuple[Line, Line]:
        view = self.console.world.documents.schemas.get(self.collection)
        return [
            (clean(self.doc_id, 200), "title"),
            (f" ─ {view.one if view is not None else self.collection}", "dim"),
        ], [(self._last_change(), "dim")]

    def _last_change(self) -> str:
        last = next(
            (each for each in self.rows.items.values() if not each.refused and each.revision), None
        )
        if last is None:
            return ""
        at = words.moment(last.timestamp, self.console.now(), utc=self.console.utc)
        return clean(f"{last.op_type} by {last.operator}, {at}", 120)

    def _fact_lines(self, width: int) -> list[Line]:
        if self.document is None:
            style = "bad" if self._why else "dim"
            return [[(" " + line, style)] for line in wrap(self._why or "asking …", width - 2)]
        view = self.console.world.documents.schemas.get(self.collection)
        told = facts(self.document, view, self.console.now())
        if last := self._last_change():
            told.append(("last change", last, "text"))
        return [[(" ", "text"), *line] for line in pairs(told, width - 1)]

    def _columns(self) -> list[Column[OperationView]]:
        return [
            Column(
                "revision",
                lambda o, w: (str(o.revision or "-"), "strong"),
                8,
                align="right",
                keep=9,
            ),
            Column("when", self._moment, 12, align="right", keep=8),
            Column("by", lambda o, w: (clean(o.operator), "accent"), 9, grow=1, most=24, keep=8),
            Column("what", lambda o, w: (clean(o.op_type), "text"), 9, keep=7),
            *outcome_columns(),
        ]

    def _moment(self, item: OperationView, width: int) -> tuple[str, str]:
        del width
        return words.moment(item.timestamp, self.console.now(), utc=self.console.utc), "dim"

    def _history_title(self) -> tuple[Line, Line]:
        more = " and more" if self._next else ""
        left: Line = [("history", "title"), (f" ─ {len(self.rows.items)}{more}", "dim")]
        if self.rows.marks:
            left.append((f" ─ {len(self.rows.marks)} marked", "warn"))
        return left, [
            ("tab: to the fields" if not self._at_facts else "tab: to the history", "faint")
        ]

    def _no_history(self) -> list[str]:
        if self._history_why:
            return wrap(self._history_why, max(self.size.width - 6, 20))
        return ["no operation is on record"] if self._told else ["asking …"]

    # --- actions --------------------------------------------------------------------------------

    def do_next_tab(self) -> None:
        """From the history to the fields, and back."""
        self._at_facts = not self._at_facts
        self.console.give_focus()
        self._facts.redraw()
        self.table.redraw()

    do_previous_tab = do_next_tab

    def do_open(self) -> None:
        """The operation under the cursor."""
        if (item := self.rows.current) is not None:
            show_operation(self.console, item)

    do_describe = do_open

    def marking(self) -> tuple[Rows[OperationView], Table[OperationView]]:
        """Its states."""
        return self.rows, self.table

    def do_mark_all(self) -> None:
        """The two ends: the newest state and the oldest that is shown."""
        written = [key for key, each in self.rows.items.items() if each.revision]
        self.rows.marks = {written[0], written[-1]} if written else set()
        self.table.redraw()

    def _states(self) -> tuple[int, int]:
        """The revisions to compare; (0, 0) when there are none."""
        chosen = [each.revision for each in self.rows.chosen() if each.revision]
        if len(self.rows.marks) == 2 and len(chosen) == 2:
            return min(chosen), max(chosen)
        newest = max((each.revision for each in self.rows.items.values()), default=0)
        if self.rows.marks or not chosen:
            return 0, 0
        # From the newest state there is nothing until now: what it changed itself is meant.
        return (chosen[0], newest) if chosen[0] < newest else (newest - 1, newest)

    def do_difference(self) -> None:
        """Between two states."""
        of, to = self._states()
        if not to:
            self.console.notice(
                "mark two states that were written, or none: then from the cursor until now", "warn"
            )
            return
        name, doc_id = self.collection, self.doc_id
        self.ask(
            "difference",
            lambda client: client.operations.difference(name, doc_id, of=of, to=to),
            self._show_difference,
        )

    def _show_difference(self, found: Difference) -> None:
        title = f"from revision {found.of or 'none'} to {found.to}"
        self.console.open_overlay(Reader(title, lambda width: change_lines(found.changes, width)))

    def do_add_document(self) -> None:
        """The empty form."""
        self.console.go(Place("document-form", f"{self.collection}/"))

    def do_copy_document(self) -> None:
        """The form of a new one, filled from this one."""
        if self._there():
            self.console.go(Place("document-form", f"{self.collection}/", self.doc_id))

    def do_edit_document(self) -> None:
        """Its form."""
        if self._there():
            self.console.go(Place("document-form", self.place.key))

    def do_edit_text(self) -> None:
        """As TOML."""
        if self._there():
            self.console.go(Place("document-toml", self.place.key))

    def do_delete_document(self) -> None:
        """It, and back to the list."""
        if self._there() and self.document is not None:
            ask_delete(self, self.collection, [self.document], self._gone)

    def do_reset_secret(self) -> None:
        """A new secret for the user."""
        if self._there():
            self.console.go(Place("reset", self.doc_id))

    def do_mail_test(self) -> None:
        """To a group of this user, or to another one."""
        ask_mail_test(self.console, [str(each) for each in (self.document or {}).get("groups", [])])

    def do_switch(self) -> None:
        """Disable it, or let it in again."""
        if self._there() and self.document is not None:
            ask_switch(self, self.collection, [self.document], self.refresh_data)

    def do_run_on_hosts(self) -> None:
        """A command or a function on this host."""
        if self._there() and self.document is not None and self.has_use("run-on-hosts"):
            call_on(self, [self.document], "this one")

    def do_set_up(self) -> None:
        """The road that it is on."""
        self._set_up("")

    def do_set_up_again(self) -> None:
        """The same once more."""
        self._set_up("again")

    def do_remove_setup(self) -> None:
        """What was made there."""
        self._set_up("remove")

    def _set_up(self, wanted: str) -> None:
        if self._there() and self.has_use("set-up"):
            open_setup(self, self.doc_id, wanted)

    def do_shell(self) -> None:
        """On this virtual host."""
        if self._there() and self.has_use("shell"):
            open_shell(self, self.doc_id)

    def has_use(self, name: str) -> bool:
        """What only users have, only users offer."""
        return has_use(name, self.collection)

    def _gone(self, doc_id: str) -> None:
        del doc_id
        self.document = None
        self.refresh_data()

    def _there(self) -> bool:
        if self.document is None:
            self.console.notice("there is no such document" if self._why else "asking …", "warn")
        return self.document is not None

    def copied(self) -> str:
        """Its id."""
        return self.doc_id

    def exported(self) -> list[dict[str, str]]:
        """The document as one record."""
        return [record(self.document)] if self.document is not None else []

    def subject(self) -> dict[str, str]:
        """The document, and the two states."""
        of, to = self._states()
        return {
            "collection": self.collection,
            "id": quote(self.doc_id, safe=""),
            "id_word": shlex.quote(self.doc_id),
            "revision": str((self.document or {}).get("revision", "")),
            "of": str(of),
            "to": str(to),
            **hosts_subject([self.doc_id]),
            **shell_subject(self.doc_id),
        }
