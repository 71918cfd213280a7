"""Hosts of a file on this machine made virtual hosts: the form, the plan, and its doing by `dts vhost import`."""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from textual.app import ComposeResult
from textual.widget import Widget

from dts_core.errors import DtsError, InvalidInput
from dts_core.plain import words
from dts_core.text import clean
from dts_tui.admin_form import DocumentForm
from dts_tui.asked_fields import import_fields
from dts_tui.draw import Line, rule
from dts_tui.host_import import (
    DETECTED,
    KNOWN_KEYS,
    Import,
    Told,
    counted,
    kind_of,
    plan_lines,
    words_of,
)
from dts_tui.own_commands import answer_of, surroundings
from dts_tui.screens.base import Place, View
from dts_tui.screens.form_page import FormPage
from dts_tui.widgets.confirm import Confirm
from dts_tui.widgets.lines import Lines

if TYPE_CHECKING:
    from dts_core.clients import AdminClient

FILE_MAX: Final = 4 << 20
"""Bytes of a file; what is larger is read by nobody."""
BEGINNING: Final = 64 << 10
"""Characters by which the kind of a file is told."""
KEYS_FIELD: Final = "known_hosts"
CRUMBS: Final = ("Admin", "virtual hosts", "import")


def _read(path: str) -> bytes:
    """Raises InvalidInput: it cannot be read, or is too large."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(FILE_MAX + 1)
    except OSError as error:
        raise InvalidInput(f"{clean(path, 300)} cannot be read: {error.strerror}") from error
    if len(data) > FILE_MAX:
        raise InvalidInput(f"{clean(path, 300)} has more than {FILE_MAX >> 20} MiB")
    return data


def _looked_at(texts: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Path -> kind, and path -> digest, of the files that a form names. Raises InvalidInput."""
    main = str(Path(str(texts["file"])).expanduser())
    kinds, data = {main: str(texts["kind"])}, {main: _read(main)}
    if kinds[main] == DETECTED:
        kinds[main] = kind_of(main, data[main].decode("utf-8", "replace")[:BEGINNING])
    if not kinds[main]:
        raise InvalidInput(f"nobody can tell which kind of file {clean(main, 300)} is: choose one")
    if keys := str(texts.get(KEYS_FIELD) or ""):
        more = str(Path(keys).expanduser())
        kinds[more], data[more] = KNOWN_KEYS, _read(more)
    return kinds, {path: hashlib.sha256(each).hexdigest() for path, each in data.items()}


def _is_as_planned(it: Import) -> bool:
    return all(
        hashlib.sha256(_read(path)).hexdigest() == digest for path, digest in it.digests.items()
    )


async def _told(client: "AdminClient", given: list[str]) -> Told:
    answer = await answer_of(given, surroundings(client))
    try:
        return msgspec.json.decode(answer, type=Told)
    except msgspec.DecodeError as error:
        raise InvalidInput("dts told nothing that can be read") from error


async def _planned(client: "AdminClient", texts: Mapping[str, Any]) -> Import:
    kinds, digests = await asyncio.to_thread(_looked_at, texts)
    names = [str(each) for each in texts.get("names") or []]
    made = words_of(kinds, str(texts.get("user") or ""), names)
    plan = await _told(client, [*made[:2], "--json", "--dry-run", *made[2:]])
    return Import(texts=texts, words=made, digests=digests, plan=plan)


async def _done(client: "AdminClient", it: Import) -> Told:
    if not await asyncio.to_thread(_is_as_planned, it):
        raise InvalidInput("a file was changed since the plan was made: esc, and read it again")
    return await _told(client, [*it.words[:2], "--json", "--yes", *it.words[2:]])


class ImportForm(FormPage):
    """Which file, of which kind; sending it makes the plan, and writes nothing."""

    scope, area = "import-form", "admin"
    STORES = "read-hosts"
    YES = "Show the plan"

    def crumbs(self) -> list[str]:
        """Below the virtual hosts."""
        return [*CRUMBS]

    def title(self, width: int) -> list[Line]:
        """What it is."""
        left: Line = [("hosts of a file on this machine", "title")]
        state = "reading …" if self.sending else ""
        return [rule(left, [(state, "dim")], width, "focus")]

    def entered(self) -> None:
        """As it was left."""
        if self.form is None:
            it = self.console.world.importing
            known = dict(it.texts) if it is not None else {}
            self.show_form(DocumentForm(view=import_fields(), document=known, is_new=True))

    def do_read_hosts(self) -> None:
        """Check, then read."""
        self.store()

    def send_form(self, form: DocumentForm) -> None:
        """Have the plan made."""
        texts = form.body()
        self.sending = True
        self.head.redraw()
        self.ask("plan", lambda client: _planned(client, texts), self._show, failed=self.refused)

    def _show(self, it: Import) -> None:
        self.sending = False
        self.console.world.importing = it
        self.console.go(Place("import-plan"))

    def refused(self, error: DtsError) -> None:
        """It stands below the fields, with what they are for."""
        self.sending = False
        self.head.redraw()
        self.foot.say(self.foot.text, clean(str(error), 600))


class ImportPlanPage(View):
    """What an import comes to, host by host, before anything is written."""

    scope, area = "import-plan", "admin"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.lines = Lines(self._lines, self._title)
        self._is_doing = False

    def crumbs(self) -> list[str]:
        """Below the form."""
        return [*CRUMBS, "plan"]

    def compose(self) -> ComposeResult:
        """Only the plan."""
        yield self.lines

    def main(self) -> Widget:
        """It scrolls."""
        return self.lines

    @property
    def plan(self) -> Told:
        """What is to be done."""
        it = self.console.world.importing
        return it.plan if it is not None else Told()

    def _title(self) -> tuple[Line, Line]:
        doing = [("writing …", "warn")] if self._is_doing else []
        return [("import", "title"), (f" ─ {counted(self.plan)}", "dim")], doing

    def _lines(self, width: int) -> list[Line]:
        return plan_lines(self.plan, width)

    def has_use(self, name: str) -> bool:
        """Only where something would be written."""
        return name != "import-planned" or bool(self.plan.create or self.plan.change)

    def do_import_planned(self) -> None:
        """Ask, then do it."""
        it, plan = self.console.world.importing, self.plan
        if it is None or self._is_doing or not self.has_use("import-planned"):
            return

        def send() -> None:
            self._is_doing = True
            self.lines.redraw()
            self.ask("import", lambda client: _done(client, it), self._written, failed=self._failed,
                     writes=True)  # fmt: skip

        names = [clean(each, 120) for each in (*plan.create, *plan.change)]
        parts = [words.plural(len(plan.create), "virtual host")]
        asked = f"Create {parts[0]}, and change {len(plan.change)}? Nothing is deleted."
        self.console.open_overlay(Confirm(asked, names, "Import", send))

    def _written(self, told: Told) -> None:
        self._is_doing = False
        self.console.world.importing = None
        self.console.notice(f"{words.plural(told.done, 'virtual host')} written; i sets one up")
        self.console.trail.forget(("import", "import-plan", "vhosts"))
        self.console.go(Place("vhosts"))

    def _failed(self, error: DtsError) -> None:
        self._is_doing = False
        self.lines.redraw()
        self.console.notice(str(error), "bad")

    def exported(self) -> list[dict[str, str]]:
        """A line a record."""
        return [{"line": "".join(text for text, _ in line)} for line in self._lines(10_000)]
