"""Access tokens: one's own, and for an administrator those of all users."""

import shlex
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from dts_core.errors import ApiError, DtsError
from dts_core.plain import words
from dts_core.text import clean
from dts_core.views import TokenPage, TokenView
from dts_tui.draw import Line
from dts_tui.filters import Filter, Term
from dts_tui.screens.admin_lists import PAGE, PagedList
from dts_tui.screens.base import Place
from dts_tui.widgets.confirm import Confirm
from dts_tui.widgets.overlays import Reader, pairs
from dts_tui.widgets.table import Column

SOON_SECONDS = 7 * 86_400
"""A token that ends within this is marked."""


class Tokens(PagedList[TokenView]):
    """Those that count."""

    scope = "tokens"
    KEYS = ("user", "name", "scope", "namespaces", "id", "kind")
    EMPTY = "none yet: n makes one"

    def __init__(self, place: Place) -> None:
        self._next = ""
        self._logins = False
        super().__init__(place)

    @property
    def of_all(self) -> bool:
        """Whether those of other users are listed too."""
        return self.console.world.role == "admin"

    def key(self, item: TokenView) -> str:
        """Its id."""
        return item.id

    def record(self, item: TokenView) -> dict[str, str]:
        """For filter and export."""
        used = item.last_used_at
        return {
            "id": item.id,
            "user": item.user,
            "name": item.name,
            "kind": "token" if item.scope else "login",
            "scope": item.scope,
            "namespaces": _limit(item),
            "created_at": item.created_at.isoformat(),
            "expires_at": item.expires_at.isoformat(),
            "last_used_at": "" if used is None else used.isoformat(),
        }

    def columns(self) -> list[Column[TokenView]]:
        """Whose, what for, what it allows, until when."""
        return [
            Column(
                "name",
                lambda t, w: (
                    clean(t.name) or ("(this login)" if t.current else "(login)"),
                    "strong" if t.name else "dim",
                ),
                14,
                grow=2,
                most=40,
                keep=9,
                sort=lambda t: t.name,
            ),
            Column(
                "user", lambda t, w: (clean(t.user), "accent"), 9, grow=1, most=24, keep=8,
                sort=lambda t: t.user,
            ),
            Column("scope", lambda t, w: (clean(t.scope), "text"), 8, keep=8, sort=lambda t: t.scope),
            Column("in", lambda t, w: (clean(_limit(t)), "dim"), 9, grow=1, most=30, keep=5),
            Column("ends", self._end, 16, align="right", keep=7, sort=lambda t: t.expires_at),
            Column(
                "used", self._used, 12, align="right", keep=6,
                sort=lambda t: -(t.last_used_at or t.created_at).timestamp(),
            ),
            Column("made", self._made, 12, align="right", keep=3, sort=lambda t: t.created_at),
            Column("id", lambda t, w: (clean(t.id), "dim"), 16, keep=4),
        ]  # fmt: skip

    def _moment(self, at: Any) -> str:
        return words.moment(at, self.console.now(), utc=self.console.utc)

    def _end(self, item: TokenView, width: int) -> tuple[str, str]:
        left = (item.expires_at - self.console.now()).total_seconds()
        told = f"{item.expires_at.astimezone():%Y-%m-%d %H:%M}"
        return told, "warn" if left < SOON_SECONDS and item.scope else "text"

    def _used(self, item: TokenView, width: int) -> tuple[str, str]:
        return (self._moment(item.last_used_at), "dim") if item.last_used_at else ("-", "faint")

    def _made(self, item: TokenView, width: int) -> tuple[str, str]:
        return self._moment(item.created_at), "dim"

    def remark(self) -> Line:
        """Whose they are, and whether logins are among them."""
        whose = "of all users" if self.of_all else "your own"
        return [(f" ─ {whose}{', logins too' if self._logins else ''}", "dim")]

    # --- asking ---------------------------------------------------------------------------------

    def ask_page(self, *, first: bool) -> None:
        """See PagedList."""
        query, self.local = self._query()
        cursor, logins = ("" if first else self._next), self._logins

        def got(page: TokenPage) -> None:
            self._next = page.next
            self.took(page.items, first=first, more=bool(page.next))

        self.ask(
            "page",
            lambda client: (
                client.user_tokens.list(**query, logins=logins, cursor=cursor, limit=PAGE)
                if self.of_all
                else client.tokens.list(logins=logins, cursor=cursor, limit=PAGE)
            ),
            got,
            failed=self.refused,
        )

    def _query(self) -> tuple[dict[str, str], Filter]:
        query: dict[str, str] = {}
        left: list[Term] = []
        for term in self.filter.terms:
            plain = not (term.negated or term.regex) and not {"*", ","} & set(term.value)
            if self.of_all and term.on and plain and term.key == "user" and "user" not in query:
                query["user"] = term.value
            else:
                left.append(term)
        return query, Filter(tuple(left))

    # --- actions --------------------------------------------------------------------------------

    def do_open(self) -> None:
        """Everything that is told of it."""
        item = self.rows.current
        if item is None:
            return
        facts = [(name, clean(value) or "-", "text") for name, value in self.record(item).items()]
        self.console.open_overlay(Reader("access token", lambda width: pairs(facts, width)))

    do_describe = do_open

    def do_logins(self) -> None:
        """Show logins too, or only access tokens."""
        self._logins = not self._logins
        self.refresh_data()

    def do_add_token(self) -> None:
        """The form of a new one."""
        self.console.go(Place("token-form"))

    def do_revoke_token(self) -> None:
        """The marked ones, or the one under the cursor."""
        ask_revoke(self, self.rows.chosen(), of_all=self.of_all)

    def subject(self) -> dict[str, str]:
        """The token under the cursor."""
        query, _ = self._query()
        who = "admin tokens" if self.of_all else "token"
        return {
            "id": quote(self.rows.cursor, safe=""),
            "id_word": shlex.quote(self.rows.cursor) if self.rows.cursor else "",
            "token_command": who,
            "token_path": "admin/tokens" if self.of_all else "session/tokens",
            "query": urlencode(query | ({"logins": "true"} if self._logins else {})),
        }


def _limit(item: TokenView) -> str:
    if item.namespaces is None:
        return "everywhere"
    return ", ".join(item.namespaces) or "nowhere"


async def _revoke(client: Any, ids: Sequence[str], *, of_all: bool) -> list[tuple[str, str]]:
    """End them one by one; (id, why not) of each, the reason empty where it ended."""
    tokens = client.user_tokens if of_all else client.tokens
    out: list[tuple[str, str]] = []
    for each in ids:
        try:
            await tokens.revoke(each)
        except ApiError as error:
            out.append((each, str(error)))
        else:
            out.append((each, ""))
    return out


def ask_revoke(view: "Tokens", tokens: Sequence[TokenView], *, of_all: bool) -> None:
    """Ask before tokens end; several at once have to be typed."""
    chosen = list(tokens)
    if not chosen:
        return
    ids = [each.id for each in chosen]

    def done(outcomes: list[tuple[str, str]]) -> None:
        for each, why in outcomes:
            if not why:
                view.rows.drop(each)
        view.table.redraw()
        kept = [why for _, why in outcomes if why]
        if kept:
            view.console.notice(f"{len(kept)} not revoked: {kept[0]}", "bad")
        else:
            view.console.notice(f"{words.plural(len(outcomes), 'token')} revoked")

    def failed(error: DtsError) -> None:
        view.console.notice(str(error), "bad")
        view.refresh_data()

    def send() -> None:
        view.ask(
            "revoke",
            lambda client: _revoke(client, ids, of_all=of_all),
            done,
            failed=failed,
            writes=True,
        )

    names = [clean(f"{each.name or '(login)'} of {each.user}, {each.id}", 200) for each in chosen]
    own = " The one that this console asks with is among them." * any(t.current for t in chosen)
    what = words.plural(len(chosen), "token")
    them = "it" if len(chosen) == 1 else "them"
    question = f"End {what} for good? Programs that show {them} are refused within a second.{own}"
    typed = f"revoke {len(chosen)}" if len(chosen) > 1 else ""
    view.console.open_overlay(Confirm(question, names, "Revoke", send, typed=typed))
