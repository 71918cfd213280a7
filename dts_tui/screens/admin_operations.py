"""The audit as a list: every write and every refused attempt, newest first."""

import shlex
from typing import Any
from urllib.parse import quote, urlencode

from dts_core.plain import operations as plain
from dts_core.plain import words
from dts_core.text import clean
from dts_core.views.operations import OperationList, OperationView
from dts_tui.admin_documents import COLLECTIONS
from dts_tui.draw import Line, wrap
from dts_tui.filters import Filter, Term
from dts_tui.screens.admin_lists import PAGE, PagedList
from dts_tui.screens.base import Place
from dts_tui.widgets.overlays import Reader, pairs
from dts_tui.widgets.table import Column

_ASKED = {"collection": "collection", "document": "doc_id", "by": "operator", "type": "op_type"}
"""Keys of the filter that the server looks for, and as what."""


class Operations(PagedList[OperationView]):
    """All operations; further ones come as one goes down."""

    scope = "operations"
    KEYS = ("collection", "document", "by", "type", "outcome", "changed", "from", "request", "id")
    EMPTY = "no operation yet"

    def __init__(self, place: Place) -> None:
        self._next = 0
        super().__init__(place)

    def key(self, item: OperationView) -> str:
        """Its id."""
        return item.id

    def record(self, item: OperationView) -> dict[str, str]:
        """For filter and export."""
        return {
            "at": item.timestamp.isoformat(),
            "by": item.operator,
            "type": item.op_type,
            "collection": item.collection,
            "document": item.doc_id,
            "changed": ", ".join(item.ops),
            "outcome": "refused" if item.refused else "done",
            "why": item.refused,
            "revision": str(item.revision or ""),
            "from": item.source,
            "request": item.request_id,
            "id": item.id,
        }

    def columns(self) -> list[Column[OperationView]]:
        """When, who, what, which, what changed, whether it was done."""
        moment = Column[OperationView]("when", self._moment, 12, align="right", keep=8)
        by = Column[OperationView](
            "by", lambda o, w: (clean(o.operator), "accent"), 9, grow=1, most=20, keep=8
        )
        what = Column[OperationView]("what", lambda o, w: (clean(o.op_type), "text"), 9, keep=7)
        which = Column[OperationView](
            "document",
            lambda o, w: (clean(f"{o.collection} {o.doc_id}"), "strong"),
            20,
            grow=2,
            most=44,
            keep=9,
        )
        return [moment, by, what, which, *outcome_columns()]

    def _moment(self, item: OperationView, width: int) -> tuple[str, str]:
        del width
        return words.moment(item.timestamp, self.console.now(), utc=self.console.utc), "dim"

    # --- asking ---------------------------------------------------------------------------------

    def ask_page(self, *, first: bool) -> None:
        """See PagedList."""
        query, self.local = self._query()
        before = 0 if first else self._next

        def got(page: OperationList) -> None:
            self._next = page.next
            self.took(page.items, first=first, more=bool(page.next))

        self.ask(
            "page",
            lambda client: client.operations.list(limit=PAGE, before=before, **query),
            got,
            failed=self.refused,
        )

    def _query(self) -> tuple[dict[str, Any], Filter]:
        query: dict[str, Any] = {}
        left: list[Term] = []
        for term in self.filter.terms:
            plainly = (
                not (term.negated or term.regex) and not {"*", ","} & set(term.value) and term.on
            )
            name = _ASKED.get(term.key, "")
            if plainly and name and name not in query:
                query[name] = term.value
            elif plainly and term.key == "outcome" and term.value == "refused":
                query["refused"] = True
            else:
                left.append(term)
        return query, Filter(tuple(left))

    # --- actions --------------------------------------------------------------------------------

    def do_open(self) -> None:
        """Everything that is told of it, and what changed field by field."""
        if (item := self.rows.current) is not None:
            show_operation(self.console, item)

    do_describe = do_open

    def do_its_document(self) -> None:
        """The document that it was about."""
        item = self.rows.current
        if item is None:
            return
        if item.collection in COLLECTIONS:
            self.console.go(Place("document", f"{item.collection}/{item.doc_id}"))
        elif item.collection == "functions":
            self.console.go(Place("function", item.doc_id))
        else:
            self.console.notice(f"{item.collection} {item.doc_id} is no document", "warn")

    def subject(self) -> dict[str, str]:
        """The operation under the cursor."""
        item = self.rows.current
        query, _ = self._query()
        told = {"query": urlencode(query)}
        if item is None:
            return told
        return told | {
            "id": quote(item.id, safe=""),
            "id_word": shlex.quote(item.id),
            "collection": clean(item.collection, 60),
            "doc": quote(item.doc_id),
            "doc_word": shlex.quote(clean(item.doc_id, 200)),
        }


def outcome_columns() -> list[Column[OperationView]]:
    """Whether it was done, and which fields changed."""
    return [
        Column("outcome", _outcome, 9, keep=7),
        Column(
            "changed",
            lambda o, w: (clean(o.refused or ", ".join(o.ops)), "dim"),
            16,
            grow=4,
            keep=4,
        ),
    ]


def _outcome(item: OperationView, width: int) -> tuple[str, str]:
    del width
    return ("✗ refused", "bad") if item.refused else ("✓ done", "good")


def show_operation(console: Any, item: OperationView) -> None:
    """An operation over the screen."""
    console.open_overlay(
        Reader(f"operation {item.position}", lambda width: operation_lines(item, width))
    )


def operation_lines(item: OperationView, width: int) -> list[Line]:
    """Its facts, then a line for each field that changed."""
    facts = [
        (name, value, "bad" if name == "outcome" and item.refused else "text")
        for name, value in plain.facts(item)
    ]
    return [*pairs(facts, width), [], *change_lines(item.ops, width)]


def change_lines(changes: dict[str, Any], width: int) -> list[Line]:
    """What changed field by field, what it was and what it is."""
    out: list[Line] = []
    for told in plain.changes(changes):
        for index, line in enumerate(wrap(told, max(width - 4, 20))):
            out.append([("" if not index else "    ", "text"), (line, "text")])
    return out or [[("no field differs", "dim")]]
