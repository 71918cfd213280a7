"""A document as TOML: in the editor of one's choice, or here; wrong fields are told at their lines."""

import json
import shlex
from typing import Any
from urllib.parse import quote

from textual.app import ComposeResult
from textual.widget import Widget

from dts_core.errors import ApiError, DtsError
from dts_core.text import clean
from dts_core.views import CollectionView, Written
from dts_tui.admin_documents import TITLES, Doc, text_of
from dts_tui.admin_form import versions
from dts_tui.admin_toml import Edited, line_of, read_edited, text_of_document, without_secrets
from dts_tui.draw import Line, fit, rule
from dts_tui.own_editor import EditorFailed, chosen_editor, edit_outside
from dts_tui.safe import editable
from dts_tui.screens.admin_asking import ask_document
from dts_tui.screens.base import Place, View
from dts_tui.widgets.drawn import Drawn
from dts_tui.widgets.source import Code
from dts_tui.widgets.versions import Versions

REASONS_MOST = 4
_WRONG = "# ✗ "
"""What a line begins with that tells in the editor what is wrong."""
_HELP = "ctrl+s stores it, ctrl+o opens it in your editor, esc leaves"


class _Title(Drawn):
    DEFAULT_CSS = "_Title { height: 1; }"

    def __init__(self, page: "DocumentText") -> None:
        super().__init__()
        self._page = page

    def draw(self, width: int, height: int) -> list[Line]:
        return self._page.title(width)


class _Reasons(Drawn):
    """What is wrong, a line each; else what the keys do."""

    DEFAULT_CSS = "_Reasons { height: 1; }"
    lines: list[str] = []

    def draw(self, width: int, height: int) -> list[Line]:
        if not self.lines:
            return [fit([(f" {_HELP}", "dim")], width)]
        return [fit([(f" ✗ {line}", "bad")], width) for line in self.lines[:height]]

    def say(self, lines: list[str]) -> None:
        self.lines = lines
        self.styles.height = min(max(len(lines), 1), REASONS_MOST)
        self.redraw()


class DocumentText(View):
    """Changes a document of `place.key`, collection/id, as text. Nothing that was typed is lost by a mistake."""

    scope, area = "document-toml", "admin"
    AWAITED = True

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.collection, _, self.doc_id = place.key.partition("/")
        self.document: Doc | None = None
        self.revision = 0
        """The revision that the change is made on."""
        self._fresh = ""
        self._missing = ""
        self._sending = self._sent = False
        self.code: Code | None = None
        self._title, self._reasons = _Title(self), _Reasons()

    def crumbs(self) -> list[str]:
        """Below its collection."""
        return ["Admin", TITLES.get(self.collection, self.collection), self.doc_id, "TOML"]

    def compose(self) -> ComposeResult:
        """Title, text, what is wrong."""
        console = self.console
        self.code = Code("", console.palette.colours, console.theme, read_only=True, language=None)
        yield self._title
        yield self.code
        yield self._reasons

    def main(self) -> Widget | None:
        """The text."""
        return self.code

    @property
    def changed(self) -> bool:
        """Whether the text is not what was stored."""
        return self.code is not None and not self.code.read_only and self.code.text != self._fresh

    def title(self, width: int) -> list[Line]:
        """What is changed."""
        if self.document is None:
            why = self._missing
            return [[(" " + (why or "asking …"), "bad" if why else "dim")]]
        left: Line = [
            (clean(self.doc_id, 200), "title"),
            (f" ─ {self._view().one} as TOML, revision {self.revision}", "dim"),
        ]
        state = ("changed", "warn") if self.changed else ("as stored", "dim")
        return [rule(left, [state], width, "focus")]

    # --- asking ---------------------------------------------------------------------------------

    def _view(self) -> CollectionView:
        return self.console.world.documents.schemas[self.collection]

    def entered(self) -> None:
        """Ask for the document; with an editor of one's own, go there at once."""
        if self.document is not None:
            return

        def failed(error: DtsError) -> None:
            self._missing = str(error)
            self._title.redraw()
            self.console.opened(self)

        ask_document(self, self.collection, self.doc_id, self._begin, failed)

    def world_changed(self) -> None:
        """What found no server is asked for again."""
        if self.document is None and self._missing and self.console.world.connection.up:
            self._missing = ""
            self.entered()

    def _draft_key(self) -> str:
        return f"toml {self.place.key}"

    def _begin(self, document: Doc | None) -> None:
        draft = self.console.drafts.get(self._draft_key())
        if draft is not None:
            document = json.loads(draft["document"])
        assert document is not None
        self._show(document)
        self.console.opened(self)
        if draft is not None and self.code is not None:
            self.code.load_text(draft["text"])
            self.console.notice("what you typed here before is back; ctrl+s stores it", "warn")
        elif chosen_editor():
            self.do_external()

    def _show(self, document: Doc) -> None:
        assert self.code is not None
        self.document, self.revision = document, int(document.get("revision", 0))
        self._fresh = text_of_document(document, self._view())
        self.code.read_only = False
        self.code.load_text(self._fresh)
        self._told({})
        self._title.redraw()

    def on_text_area_changed(self) -> None:
        """Whether it differs."""
        self._title.redraw()

    def left(self) -> None:
        """Keep the text; one with a secret in it is kept without."""
        drafts, key = self.console.drafts, self._draft_key()
        drafts.pop(key, None)
        if self._sent or not self.changed or self.document is None or self.code is None:
            return
        edited = read_edited(self.code.text, self.document, self._view())
        text = without_secrets(self.code.text, edited, self.document, self._view())
        drafts[key] = {"text": text, "document": json.dumps(self.document, default=str)}
        self.console.notice("not stored; the text is kept and comes back with ctrl+o", "warn")

    # --- another editor -------------------------------------------------------------------------

    def do_external(self) -> None:
        """Edit in $VISUAL or $EDITOR, and store what was changed there."""
        code, document = self.code, self.document
        if code is None or document is None:
            return
        if why := self.console.why_not("store-text"):
            self.console.notice(f"edit: {why}", "warn")
            return
        before = self._with_reasons()
        try:
            text = edit_outside(before, f"{self._view().name}.toml", self.console.suspend)
        except EditorFailed as error:
            self.console.notice(str(error), "bad")
            return
        if not editable(text):
            self.console.notice("the text holds control characters: it was not taken over", "bad")
            return
        code.load_text("\n".join(each for each in text.split("\n") if not each.startswith(_WRONG)))
        self._title.redraw()
        if text != before:
            self.console.run_named("store-text")
        elif not self.changed:
            self.console.notice("nothing was changed")
            self._away()

    def _with_reasons(self) -> str:
        """The text for the editor: with what is wrong above its field, and without what is secret."""
        assert self.code is not None and self.document is not None  # noqa: PT018
        text = self.code.text
        edited = read_edited(text, self.document, self._view())
        text = without_secrets(text, edited, self.document, self._view())
        if not self._reasons.lines:
            return text
        return "\n".join([*(f"{_WRONG}{each}" for each in self._reasons.lines), text])

    def _away(self) -> None:
        self._sent = True
        self.console.run_named("back")

    # --- storing --------------------------------------------------------------------------------

    def do_store_text(self) -> None:
        """Read it, then send what was changed."""
        if self.code is None or self.document is None or self._sending:
            return
        edited = read_edited(self.code.text, self.document, self._view())
        if edited.wrong:
            self._hide_secrets(edited)
            self._told(edited.wrong, edited.line)
        elif edited.changed:
            self._send(edited.changed)
        else:
            self._told({})
            self.console.notice("nothing was changed", "warn")

    def _hide_secrets(self, edited: Edited) -> None:
        assert self.code is not None and self.document is not None  # noqa: PT018
        text = without_secrets(self.code.text, edited, self.document, self._view())
        if text != self.code.text:
            self.code.load_text(text)

    def _send(self, fields: dict[str, Any]) -> None:
        name, doc_id, revision = self.collection, self.doc_id, self.revision
        self._sending = True

        def stored(written: Written) -> None:
            self._sending, self._sent = False, True
            self.console.notice(f"{written.id} stored, revision {written.revision}")
            self.console.trail.forget(("document-toml",))
            self.console.go(Place("document", f"{name}/{written.id}"))

        def refused(error: DtsError) -> None:
            self._refused(error, fields)

        self.ask(
            "store",
            lambda client: client.collection(name).update(doc_id, revision=revision, **fields),
            stored,
            failed=refused,
            writes=True,
        )

    def _refused(self, error: DtsError, fields: dict[str, Any]) -> None:
        self._sending = False
        if isinstance(error, ApiError) and isinstance(error.told.get("current"), dict):
            self._conflict(error, error.told["current"], fields)
        elif isinstance(error, ApiError) and error.fields:
            self._told(dict(error.fields))
        else:
            self.console.notice(str(error), "bad")

    def _told(self, wrong: dict[str, str], line: int = 0) -> None:
        """Name what is wrong with its line, and go to the first one."""
        assert self.code is not None
        text = self.code.text
        at = {name: line or line_of(text, name) for name in wrong}
        self._reasons.say(
            [
                clean(f"line {at[name]}: {f'{name}: ' if name else ''}{why}", 400)
                for name, why in sorted(wrong.items(), key=lambda each: at[each[0]])
            ]
        )
        if wrong:
            first = min(at.values()) or 1
            self.code.move_cursor((min(first, self.code.document.line_count) - 1, 0))

    def _conflict(self, error: ApiError, current: Doc, sent: dict[str, Any]) -> None:
        """Both versions: take theirs, put mine on theirs, or go on typing."""

        def theirs() -> None:
            self._show(current)
            self.console.notice(
                f"this is revision {self.revision} now, without your changes", "warn"
            )

        def mine() -> None:
            self.revision = int(current.get("revision", 0))
            self._send(sent)

        fields = versions(current, sent, self.document or {}, frozenset())
        self.console.open_overlay(Versions(clean(error.message, 300), fields, theirs, mine))

    def subject(self) -> dict[str, str]:
        """What would be sent."""
        told = {
            "collection": self.collection,
            "id": quote(self.doc_id, safe=""),
            "id_word": shlex.quote(self.doc_id),
            "verb": "set",
            "method": "PATCH",
            "below": f"/{quote(self.doc_id, safe='')}",
        }
        if self.document is None or self.code is None:
            return told
        fields = read_edited(self.code.text, self.document, self._view()).changed
        assigned = [shlex.quote(f"{name}={text_of(value)}") for name, value in fields.items()]
        body = {"revision": self.revision, **fields}
        return told | {
            "assigned": " ".join(assigned),
            "body": json.dumps(body, ensure_ascii=False, default=str),
        }

    def copied(self) -> str:
        """The text, when no secret was typed into it."""
        if self.code is None or self.document is None:
            return ""
        edited = read_edited(self.code.text, self.document, self._view())
        return without_secrets(self.code.text, edited, self.document, self._view())
