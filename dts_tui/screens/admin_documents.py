"""Users, namespaces, virtual hosts: the list of a collection."""

import shlex
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlencode

from dts_core.plain import words
from dts_core.views import DocumentPage
from dts_tui.admin_documents import Doc, asked, at, has_use, keys, record
from dts_tui.filters import FilterError
from dts_tui.screens.admin_asking import ask_schema
from dts_tui.screens.admin_bulk import ask_field, ask_switch
from dts_tui.screens.admin_columns import columns
from dts_tui.screens.admin_deleting import ask_delete
from dts_tui.screens.admin_lists import PAGE, PagedList
from dts_tui.screens.admin_mail import ask_mail_test
from dts_tui.screens.base import Place
from dts_tui.screens.host_choosing import call_on, call_on_fitting, hosts_subject
from dts_tui.screens.host_shell import open_shell, shell_subject
from dts_tui.screens.setup_doing import open_setup
from dts_tui.widgets.table import Column

NEED_ONE = (
    "open", "describe", "copy-document", "edit-document", "edit-text", "delete-document", "set-field", "switch",
    "reset-secret", "run-on-hosts", "set-up", "set-up-again", "remove-setup", "shell", "mark", "mark-all", "unmark",
)  # fmt: skip
"""Actions on what stands under the cursor."""
NO_HOSTS = "none yet: a makes a worker of a new one, n only notes it, f reads a file"


class Documents(PagedList[Doc]):
    """One collection, in the server's order."""

    scope = "documents"
    EMPTY = "none yet: n makes one"

    def __init__(self, place: Place) -> None:
        self._next = ""
        super().__init__(place)
        if self.listed == "vhosts":
            self.EMPTY = NO_HOSTS  # type: ignore[misc]

    def key(self, item: Doc) -> str:
        """Its id."""
        return str(item["_id"])

    def record(self, item: Doc) -> dict[str, str]:
        """For filter and export."""
        return record(item)

    def columns(self) -> list[Column[Doc]]:
        """Those of the collection."""
        return columns(self.place.kind, self._moment)

    def _moment(self, doc: Doc, width: int) -> tuple[str, str]:
        del width
        return words.moment(at(doc), self.console.now(), utc=self.console.utc), "dim"

    # --- asking ---------------------------------------------------------------------------------

    def entered(self) -> None:
        """Ask how the collection is described, when that is not known yet; then for its documents."""
        if self.listed in self.console.world.documents.schemas:
            self._began()
        else:
            ask_schema(self, self._began, self.refused)

    def _began(self) -> None:
        self.KEYS = keys(self.console.world.documents.schemas.get(self.listed))  # type: ignore[misc]
        try:
            super().entered()
        except FilterError as error:
            super().set_filter("")
            self.console.notice(str(error), "bad")

    def refresh_data(self) -> None:
        """The first page, once the collection is known."""
        if self.listed in self.console.world.documents.schemas:
            super().refresh_data()
        else:
            self.entered()

    def ask_page(self, *, first: bool) -> None:
        """See PagedList."""
        if self.listed not in self.console.world.documents.schemas:
            return
        query, self.local = self._query()
        cursor = "" if first else self._next

        def got(page: DocumentPage[Doc]) -> None:
            self._next = page.next
            self.took(page.items, first=first, more=bool(page.next))

        self.ask(
            "page",
            lambda client: client.collection(self.listed).list(limit=PAGE, cursor=cursor, **query),
            got,
            failed=self.refused,
        )

    def _query(self) -> tuple[dict[str, Any], Any]:
        memory = self.console.world.documents
        query, left = asked(self.filter, memory.schemas.get(self.listed))
        order = memory.orders.get(self.listed, "")
        return (query | {"sort": order} if order else query), left

    def known_values(self, key: str) -> Iterable[str]:
        """What the field may be, else what the shown ones have."""
        view = self.console.world.documents.schemas.get(self.listed)
        item = next((each for each in view.fields if each.name == key), None) if view else None
        if item is not None and item.choices:
            return [str(each) for each in item.choices]
        if item is not None and item.type == "switch":
            return ["true", "false"]
        return super().known_values(key)

    # --- sorting --------------------------------------------------------------------------------

    def order(self) -> str:
        """The field and the direction."""
        field, down = self.sorted_on()
        return f"by {'name' if field == '_id' else field} {'▼' if down else '▲'}" if field else ""

    def sorted_on(self) -> tuple[str, bool]:
        """See WorldList; as it came, which is by name, nothing is said."""
        order = self.console.world.documents.orders.get(self.listed, "")
        return order.removeprefix("-"), order.startswith("-")

    def do_sort(self) -> None:
        """By the next field that the server sorts by."""
        memory = self.console.world.documents
        view = memory.schemas.get(self.listed)
        sorts = [*view.sorts] if view is not None else []
        now = memory.orders.get(self.listed, "").removeprefix("-") or "_id"
        if sorts:
            at_now = sorts.index(now) if now in sorts else -1
            self._sorted(sorts[(at_now + 1) % len(sorts)])

    def do_reverse(self) -> None:
        """The other way round."""
        order = self.console.world.documents.orders.get(self.listed, "_id")
        self._sorted(order[1:] if order.startswith("-") else f"-{order}")

    def _sorted(self, order: str) -> None:
        self.console.world.documents.orders[self.listed] = "" if order == "_id" else order
        self.rows.cursor = ""
        self.table.redraw()
        self.refresh_data()

    # --- actions --------------------------------------------------------------------------------

    def do_open(self) -> None:
        """All of its fields and its history."""
        if self.rows.current is not None:
            self.console.go(Place("document", f"{self.listed}/{self.rows.cursor}"))

    do_describe = do_open

    def do_add_document(self) -> None:
        """The empty form."""
        self.console.go(Place("document-form", f"{self.listed}/"))

    def do_copy_document(self) -> None:
        """The form of a new one, filled from this one."""
        if self.rows.current is not None:
            self.console.go(Place("document-form", f"{self.listed}/", self.rows.cursor))

    def do_edit_document(self) -> None:
        """Its form."""
        if self.rows.current is not None:
            self.console.go(Place("document-form", f"{self.listed}/{self.rows.cursor}"))

    def do_edit_text(self) -> None:
        """As TOML."""
        if self.rows.current is not None:
            self.console.go(Place("document-toml", f"{self.listed}/{self.rows.cursor}"))

    def do_delete_document(self) -> None:
        """The marked ones, or the one under the cursor."""
        ask_delete(self, self.listed, self.rows.chosen(), self._gone)

    def do_set_field(self) -> None:
        """One field of the marked ones, or of the one under the cursor."""
        ask_field(self, self.listed, self.rows.chosen(), self._changed)

    def do_switch(self) -> None:
        """Disable the marked ones, or let them in again."""
        ask_switch(self, self.listed, self.rows.chosen(), self._changed)

    def do_run_on_hosts(self) -> None:
        """On the marked ones, else on all that fit the filter, else on the one under the cursor."""
        if not self.has_use("run-on-hosts"):
            return
        if self.rows.marks or not self.filter.terms:
            chosen = self.rows.chosen()
            call_on(self, chosen, "marked" if self.rows.marks else "under the cursor")
        else:
            query, local = self._query()
            query.pop("sort", None)
            call_on_fitting(self, query, local)

    def do_add_host(self) -> None:
        """Only among hosts."""
        if self.has_use("add-host"):
            self.console.go(Place("setup-address", "vhosts/"))

    def do_import_hosts(self) -> None:
        """Only among hosts."""
        if self.has_use("import-hosts"):
            self.console.go(Place("import"))

    def do_set_up(self) -> None:
        """The road of the one under the cursor; where there is none, of a new one."""
        self._set_up("")

    def do_set_up_again(self) -> None:
        """The one under the cursor."""
        self._set_up("again")

    def do_remove_setup(self) -> None:
        """What was made on the one under the cursor."""
        self._set_up("remove")

    def _set_up(self, wanted: str) -> None:
        if self.has_use("set-up"):
            open_setup(self, self.rows.cursor, wanted)
        elif not wanted and self.rows.current is None:
            self.do_add_host()

    def do_shell(self) -> None:
        """On the virtual host under the cursor."""
        if self.has_use("shell"):
            open_shell(self, self.rows.cursor)

    def _changed(self) -> None:
        self.rows.marks.clear()
        self.refresh_data()

    def do_reset_secret(self) -> None:
        """A new secret for the user."""
        if self.rows.current is not None:
            self.console.go(Place("reset", self.rows.cursor))

    def do_mail_test(self) -> None:
        """To a group of the user under the cursor, or to another one."""
        ask_mail_test(
            self.console, [str(each) for each in (self.rows.current or {}).get("groups", [])]
        )

    def has_use(self, name: str) -> bool:
        """What only users have, only users offer; where nothing is listed, only what needs nothing."""
        if name in NEED_ONE and self.rows.current is None:
            return False
        return has_use(name, self.listed)

    def _gone(self, doc_id: str) -> None:
        self.rows.drop(doc_id)
        self.table.redraw()

    def subject(self) -> dict[str, str]:
        """The document under the cursor, and what is filtered for."""
        query, _ = self._query()
        current = self.rows.current or {}
        return {
            "collection": self.listed,
            "id": quote(self.rows.cursor, safe=""),
            "id_word": shlex.quote(self.rows.cursor) if self.rows.cursor else "",
            "revision": str(current.get("revision", "")),
            "query": urlencode(query),
            **hosts_subject([str(each["_id"]) for each in self.rows.chosen()]),
            **shell_subject(self.rows.cursor),
        }
