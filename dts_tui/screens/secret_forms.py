"""Forms whose answer or content is secret: an access token, one's own secret, another user's."""

import secrets
import shlex
from typing import Any
from urllib.parse import quote

from dts_core.text import clean
from dts_core.views import TokenMade, Written
from dts_tui.admin_form import DocumentForm
from dts_tui.asked_fields import SECRET_LEAST, password_fields, reset_fields, token_fields
from dts_tui.draw import Line, rule
from dts_tui.screens.base import Place
from dts_tui.screens.form_page import FormPage
from dts_tui.widgets.shown_once import ShownOnce

_MADE_BYTES = 12
"""Of a secret that is made here: 96 bits."""


class SecretForm(FormPage):
    """A form that keeps no draft: nothing of it outlives the screen."""

    area = "admin"
    STORES = "send-secret"
    scope = "secret-form"

    def entered(self) -> None:
        """The fields are known here."""
        if self.form is None:
            self.show_form(DocumentForm(view=self.fields_asked(), is_new=True))

    def fields_asked(self) -> Any:
        """What it asks for, as a collection."""
        raise NotImplementedError

    def headline(self) -> str:
        """What it is for."""
        raise NotImplementedError

    def title(self, width: int) -> list[Line]:
        """What it is for."""
        return [rule([(clean(self.headline(), 200), "title")], [], width, "focus")]

    def do_send_secret(self) -> None:
        """Check, then send."""
        self.store()

    def over(self) -> None:
        """It was taken: away from the form, which is no place to come back to."""
        self.sending = False
        self.console.trail.forget((self.place.kind,))
        place = self.console.trail.places[-1] if self.console.trail.places else Place("admin")
        self.console.go(place)


class TokenForm(SecretForm):
    """A new access token."""

    YES = "Make it"

    @property
    def _for_others(self) -> bool:
        return self.console.world.role == "admin"

    def crumbs(self) -> list[str]:
        """Below the tokens."""
        return ["Admin", "access tokens", "new"]

    def headline(self) -> str:
        """A new one."""
        return "a new access token"

    def fields_asked(self) -> Any:
        """See token_fields."""
        world = self.console.world
        return token_fields(world.role, world.user, for_others=self._for_others)

    def send_form(self, form: DocumentForm) -> None:
        """Make it, and show it once."""
        body = form.body()
        user = str(body.get("user", self.console.world.user))
        wanted: dict[str, Any] = {
            "scope": body.get("scope", "read"),
            "days": float(body.get("days", 90)),
            "namespaces": body.get("namespaces") or None,
        }
        name, others = form.doc_id, self._for_others
        self.sending = True

        def made(token: TokenMade) -> None:
            self.over()
            until = f"{token.expires_at.astimezone():%Y-%m-%d %H:%M}"
            told = (
                f"{clean(token.name, 120)} of {clean(token.user, 120)}, scope {clean(token.scope, 20)},"
                f" until {until}. It is not shown again: copy it now, or make another one."
            )
            self.console.open_overlay(ShownOnce("access token", told, token.token))

        self.ask(
            "make",
            lambda client: (
                client.user_tokens.add(user, name, **wanted)
                if others
                else client.tokens.add(name, **wanted)
            ),
            made,
            failed=self.refused,
            writes=True,
        )

    def reasons(self, error: Any) -> dict[str, str]:
        """The name is the first field here."""
        return {"_id" if name == "name" else name: why for name, why in error.fields.items()}

    def subject(self) -> dict[str, str]:
        """The same as a command."""
        who = "admin tokens" if self._for_others else "token"
        name = (
            shlex.quote(self.form.doc_id) if self.form is not None and self.form.doc_id else "NAME"
        )
        user = f" {self.console.world.user}" if self._for_others else ""
        return {
            "secret_command": f"dts {who} create{user} {name} --scope SCOPE --days DAYS",
            "secret_request": "POST /admin/tokens {…}"
            if self._for_others
            else "POST /session/tokens {…}",
        }


class PasswordForm(SecretForm):
    """One's own secret, by the old one."""

    YES = "Change it"

    def crumbs(self) -> list[str]:
        """By itself."""
        return ["Admin", "your secret"]

    def headline(self) -> str:
        """Whose."""
        who = self.console.world.user or "you"
        return f"a new secret for {who}; other logins and access tokens end"

    def fields_asked(self) -> Any:
        """Old, new, new again."""
        return password_fields()

    def send_form(self, form: DocumentForm) -> None:
        """Both new ones have to be the same."""
        assert self.fields is not None
        old, new = form.texts["secret"], form.texts["new_secret"]
        if new != form.texts["again"]:
            self.fields.refuse({"again": "not the same as the new one"})
            return
        self.sending = True

        def done(answer: None) -> None:
            del answer
            self.over()
            self.console.notice("changed; your other logins and access tokens have ended", "warn")

        self.ask(
            "change",
            lambda client: client.change_password(old, new),
            done,
            failed=self.refused,
            writes=True,
        )

    def subject(self) -> dict[str, str]:
        """The same as a command."""
        return {
            "secret_command": "dts password",
            "secret_request": "POST /session/password {…}",
        }


class ResetForm(SecretForm):
    """A new secret for the user `place.key`; all that they are logged in with ends."""

    YES = "Reset it"

    def crumbs(self) -> list[str]:
        """Below the users."""
        return ["Admin", "users", self.place.key, "secret"]

    def headline(self) -> str:
        """Whose."""
        return f"a new secret for {self.place.key}; their logins and access tokens end"

    def fields_asked(self) -> Any:
        """The new one."""
        return reset_fields()

    def send_form(self, form: DocumentForm) -> None:
        """What was typed, or one that is made here and shown once."""
        user, typed = self.place.key, form.texts["secret"]
        if typed and len(typed) < SECRET_LEAST:
            assert self.fields is not None
            self.fields.refuse({"secret": f"at least {SECRET_LEAST} characters"})
            return
        secret = typed or secrets.token_urlsafe(_MADE_BYTES)
        self.sending = True

        def done(written: Written) -> None:
            self.over()
            if typed:
                self.console.notice(f"{written.id} has a new secret; their logins have ended")
                return
            told = f"What {clean(user, 120)} logs in with from now on. It is not shown again."
            self.console.open_overlay(ShownOnce("a new secret", told, secret))

        self.ask(
            "reset",
            lambda client: client.users.update(user, secret=secret),
            done,
            failed=self.refused,
            writes=True,
        )

    def subject(self) -> dict[str, str]:
        """The same as a command."""
        user = shlex.quote(self.place.key)
        return {
            "secret_command": f"dts admin users set {user} --secret secret",
            "secret_request": f"PATCH /admin/users/{quote(self.place.key, safe='')} {{…}}",
        }
