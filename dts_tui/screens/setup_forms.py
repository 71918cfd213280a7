"""Forms of a set-up: where a host is, what logs in there, how it is set up."""

from typing import ClassVar

import msgspec

from dts_core.text import clean
from dts_core.views import CollectionView
from dts_tui.admin_form import DocumentForm
from dts_tui.asked_fields import setup_fields
from dts_tui.draw import Line, rule
from dts_tui.host_setup import Options, setup_of
from dts_tui.host_setup_steps import ADDRESS, LOGIN, NAMES, PLAN, credential
from dts_tui.screens.admin_form import DocumentEditor
from dts_tui.screens.base import Place
from dts_tui.screens.form_page import FormPage

EMBEDDED = "embedded"
"""The engine without RabbitMQ: only agents work on it."""
SECONDS_MOST = 600.0


def _headline(step: str, vhost: str, told: str) -> Line:
    number = f" ─ step {NAMES.index(step) + 1} of {len(NAMES)}: {told}"
    return [(clean(vhost, 120) or "a new host", "title"), (number, "dim")]


class _StepForm(DocumentEditor):
    """A part of the form of a virtual host; storing it leads back to its set-up, which goes on."""

    scope = "setup-form"
    STORES = "store-step"
    YES = "Go on"
    STEP: ClassVar[str] = ADDRESS
    TOLD: ClassVar[str] = ""
    FIELDS: ClassVar[tuple[str, ...]] = ()

    def crumbs(self) -> list[str]:
        """Below the virtual hosts."""
        return ["Admin", "virtual hosts", self.doc_id or "new", "set up", self.STEP]

    def title(self, width: int) -> list[Line]:
        """Which step it is."""
        if self.form is None:
            return self.waiting()
        return [rule(_headline(self.STEP, self.doc_id, self.TOLD), [], width, "focus")]

    def _view(self) -> CollectionView:
        view = super()._view()
        known = {each.name: each for each in view.fields}
        return msgspec.structs.replace(
            view, fields=[known[name] for name in self.FIELDS if name in known]
        )

    def _draft_key(self) -> str:
        return f"setup {self.STEP} {self.place.key}"

    def after(self, doc_id: str) -> Place:
        """Its set-up, which goes on by itself as far as nothing is changed."""
        it = setup_of(self.console.world.setups, doc_id)
        it.eager = True
        it.refused.clear()
        return Place("setup", doc_id)

    def do_store_step(self) -> None:
        """Store what was changed; go on."""
        if self.doc_id and self.form is not None and not self.form.changed():
            self.console.trail.forget((self.place.kind,))
            self.console.go(self.after(self.doc_id))
        else:
            self.do_store_document()

    def subject(self) -> dict[str, str]:
        """What would be sent."""
        told = super().subject()
        words = [told.get(name, "") for name in ("verb", "id_word", "assigned")]
        request = f"{told.get('method', 'POST')} /admin/vhosts{told.get('below', '')}"
        return told | {
            "step_command": " ".join(["dts admin vhosts", *filter(None, words)]),
            "step_request": f"{request} {told.get('body', '')}",
        }


class SetUpAddress(_StepForm):
    """Where a host is: `place.key` is vhosts/ID, the id empty for a new one."""

    TOLD = "where it is"
    FIELDS = ("_id", "address", "port", "user", "mode", "jump", "python", "labels", "description")

    def prefill(self, form: DocumentForm) -> None:
        """Without RabbitMQ only agents work."""
        status = self.console.world.status
        if form.is_new and status is not None and status.engine == EMBEDDED:
            form.texts["mode"] = "agent"


class SetUpLogin(_StepForm):
    """What logs in there."""

    STEP = LOGIN
    TOLD = "what logs in there"
    FIELDS = (
        "user", "auth", "ssh_pem_cert", "key_passphrase", "password", "certificate", "references",
    )  # fmt: skip

    def prefill(self, form: DocumentForm) -> None:
        """Where nothing is stored, a key is what most are given."""
        if form.document is not None and not credential(form.document):
            form.texts["auth"] = "key"


class SetUpOptions(FormPage):
    """How it is set up; `place.key` is the id. It is kept with the set-up, and goes into its job."""

    scope, area = "setup-form", "admin"
    STORES = "store-step"
    YES = "Go on"

    def crumbs(self) -> list[str]:
        """Below the virtual hosts."""
        return ["Admin", "virtual hosts", self.place.key, "set up", PLAN]

    def title(self, width: int) -> list[Line]:
        """Which step it is."""
        return [rule(_headline(PLAN, self.place.key, "how it is set up"), [], width, "focus")]

    def entered(self) -> None:
        """The fields are known here."""
        if self.form is not None:
            return
        now = setup_of(self.console.world.setups, self.place.key).options
        known = {
            "scope": now.scope,
            "queues": list(now.queues),
            "wait_seconds": f"{now.wait_seconds:g}",
        }
        self.show_form(DocumentForm(view=setup_fields(), document=known, is_new=True))

    def do_store_step(self) -> None:
        """Check, then go on."""
        self.store()

    def send_form(self, form: DocumentForm) -> None:
        """Nothing is sent: the next look and the set-up take it along."""
        body = form.body()
        seconds = float(body.get("wait_seconds", Options().wait_seconds))
        if not 0 < seconds <= SECONDS_MOST and self.fields is not None:
            self.fields.refuse({"wait_seconds": f"more than 0, at most {SECONDS_MOST:g}"})
            return
        it = setup_of(self.console.world.setups, self.place.key)
        it.options = Options(
            scope="system" if body.get("scope") == "system" else "user",
            queues=tuple(str(each) for each in body.get("queues", [])),
            wait_seconds=seconds,
        )
        it.eager = True
        it.refused.clear()
        self.console.trail.forget((self.place.kind,))
        self.console.go(Place("setup", self.place.key))
