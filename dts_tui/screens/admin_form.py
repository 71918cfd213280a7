"""The form of a document: a new one, a copy of one, or a change of one."""

import json
import shlex
from urllib.parse import quote

from dts_core.errors import ApiError, DtsError
from dts_core.text import clean
from dts_core.views import CollectionView, Written
from dts_tui.admin_documents import TITLES, Doc, text_of
from dts_tui.admin_form import DocumentForm, versions
from dts_tui.draw import Line, rule
from dts_tui.forms import FieldError
from dts_tui.screens.admin_asking import ask_document
from dts_tui.screens.base import Place
from dts_tui.screens.form_page import FormPage
from dts_tui.widgets.versions import Versions

_REVISION = "revision"
"""Key of a draft for the revision that it was made on; no field is called so."""


class DocumentEditor(FormPage):
    """`place.key` is collection/id, the id empty for a new one; `place.part` names what it is copied from."""

    scope, area = "document-form", "admin"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.collection, _, self.doc_id = place.key.partition("/")
        self._base: Doc | None = None
        self._sent = False

    def crumbs(self) -> list[str]:
        """Below its collection."""
        return ["Admin", TITLES.get(self.collection, self.collection), self.doc_id or "new"]

    def title(self, width: int) -> list[Line]:
        """What is made or changed."""
        if self.form is None:
            return self.waiting()
        one = self._view().one
        if self.doc_id:
            left: Line = [
                (clean(self.doc_id, 200), "title"),
                (f" ─ {one}, revision {self.form.revision}", "dim"),
            ]
        else:
            copied = f", a copy of {clean(self.place.part, 120)}" if self.place.part else ""
            left = [(f"a new {one}", "title"), (copied, "dim")]
        changed = len(self.form.changed())
        state = (
            (f"{changed} changed", "warn")
            if changed
            else ("as stored" if self.doc_id else "", "dim")
        )
        return [rule(left, [state], width, "focus")]

    # --- asking ---------------------------------------------------------------------------------

    def _view(self) -> CollectionView:
        return self.console.world.documents.schemas[self.collection]

    def entered(self) -> None:
        """Ask for the fields, and for the document that is changed or copied."""
        if self.form is not None:
            return

        def failed(error: DtsError) -> None:
            self.missing = str(error)
            self.head.redraw()
            self.console.opened(self)

        ask_document(self, self.collection, self.doc_id or self.place.part, self._begin, failed)

    def world_changed(self) -> None:
        """A form that found no server is asked for again."""
        if self.form is None and self.missing and self.console.world.connection.up:
            self.missing = ""
            self.entered()

    def _begin(self, document: Doc | None) -> None:
        """Show the fields; what was typed here before comes back, on the revision that it was typed on."""
        self._show(document)
        draft = dict(self.console.drafts.get(self._draft_key(), {}))
        if draft and self.form is not None:
            self.form.revision = int(draft.pop(_REVISION, "0"))
            self.form.resume(draft)
            self.show_form(self.form)
            self.console.notice("what you typed here before is back; ctrl+s saves it", "warn")

    def _show(self, document: Doc | None) -> None:
        self._base = document
        form = DocumentForm(view=self._view(), document=document, is_new=not self.doc_id)
        self.prefill(form)
        self.show_form(form)

    def prefill(self, form: DocumentForm) -> None:
        """What else stands in the fields at first."""

    def _draft_key(self) -> str:
        return f"admin {self.place.key} {self.place.part}"

    def left(self) -> None:
        """Keep what was typed, but never a secret."""
        drafts, key = self.console.drafts, self._draft_key()
        drafts.pop(key, None)
        if self.form is not None and not self._sent and (draft := self.form.draft()):
            drafts[key] = draft | {_REVISION: str(self.form.revision)}

    # --- storing --------------------------------------------------------------------------------

    def do_edit_text(self) -> None:
        """As TOML: from what is stored, so what was typed here is stored or left first."""
        if not self.doc_id:
            self.console.notice("a new one is made in the form; e and ctrl+o change it", "warn")
        elif self.form is not None and self.form.changed():
            self.console.notice("save or take back what was changed here first: ctrl+s", "warn")
        else:
            self.console.trail.forget(("document-form",))
            self.console.go(Place("document-toml", self.place.key))

    def do_store_document(self) -> None:
        """Check, then send."""
        if self.doc_id and self.form is not None and not self.form.changed():
            self.console.notice("nothing was changed", "warn")
            return
        self.store()

    def send_form(self, form: DocumentForm) -> None:
        """Create it, or change it on the revision that the form began with."""
        body, name = form.body(), self.collection
        doc_id, revision = self.doc_id or form.doc_id, form.revision
        self.sending = True

        def stored(written: Written) -> None:
            self.sending, self._sent = False, True
            self.console.notice(f"{written.id} stored, revision {written.revision}")
            self.console.trail.forget((self.place.kind,))
            self.console.go(self.after(written.id))

        self.ask(
            "store",
            lambda client: (
                client.collection(name).update(doc_id, revision=revision, **body)
                if self.doc_id
                else client.collection(name).add(doc_id, **body)
            ),
            stored,
            failed=self.refused,
            writes=True,
        )

    def after(self, doc_id: str) -> Place:
        """Where one is once it is stored."""
        return Place("document", f"{self.collection}/{doc_id}")

    def refused(self, error: DtsError) -> None:
        """Both versions, when somebody was quicker; else the reasons at their fields."""
        if isinstance(error, ApiError) and isinstance(error.told.get("current"), dict):
            self.sending = False
            self._conflict(error, error.told["current"])
        else:
            super().refused(error)

    def reasons(self, error: ApiError) -> dict[str, str]:
        """That there is one already stands at the name."""
        fields = super().reasons(error)
        if error.answer_status == 409 and not fields and not self.doc_id:
            return {"_id": error.message}
        return fields

    # --- somebody was quicker -------------------------------------------------------------------

    def _conflict(self, error: ApiError, current: Doc) -> None:
        """Both versions: take theirs, put mine again on theirs, or go on typing."""
        form = self.form
        assert form is not None
        try:
            sent = form.body()
        except FieldError as wrong:
            self.console.notice(str(wrong), "bad")
            return

        def theirs() -> None:
            self._show(current)
            self.console.notice(
                f"this is revision {current.get(_REVISION)} now, without your changes", "warn"
            )

        def mine() -> None:
            form.revision, self._base = int(current.get(_REVISION, 0)), current
            self.console.run_named(self.STORES)

        fields = versions(current, sent, self._base or {}, form.secrets())
        question = clean(error.message, 300)
        self.console.open_overlay(Versions(question, fields, theirs, mine))

    def subject(self) -> dict[str, str]:
        """What would be sent, secrets masked."""
        if self.form is None:
            return {"collection": self.collection}
        body, doc_id = self.form.masked(), self.doc_id or self.form.doc_id
        hidden = self.form.secrets()
        assigned = [
            f"--secret {name}" if name in hidden else shlex.quote(f"{name}={text_of(value)}")
            for name, value in body.items()
        ]
        whole = {"revision": self.form.revision, **body} if self.doc_id else {"_id": doc_id, **body}
        return {
            "collection": self.collection,
            "verb": "set" if self.doc_id else "add",
            "method": "PATCH" if self.doc_id else "POST",
            "below": f"/{quote(self.doc_id, safe='')}" if self.doc_id else "",
            "id": quote(self.doc_id, safe=""),
            "id_word": shlex.quote(doc_id) if doc_id else "",
            "assigned": " ".join(assigned),
            "body": json.dumps(whole, ensure_ascii=False),
        }
