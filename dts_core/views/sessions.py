"""Who asks."""

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from dts_core.views.base import View
from dts_core.views.jobs import JobView

ScopeName: TypeAlias = Literal["read", "submit", "operate", "admin"]
TOKEN_NAME_MAX: Final = 100
"""Longest name of an access token, in characters."""


class LoginRequest(View, frozen=True, forbid_unknown_fields=True):
    """POST /session."""

    user: str
    secret: str
    hours: float = 0.0
    """How long the token counts; 0: the server's setting."""


class LoginAnswer(View, frozen=True):
    """The token appears here and never again."""

    token: str
    user: str
    role: str
    expires_at: datetime


class SessionView(View, frozen=True):
    """GET /session: who asks, and their own record."""

    user: str
    role: str
    counts: dict[str, int] = {}
    recent: list[JobView] = []


class SecretChange(View, frozen=True, forbid_unknown_fields=True):
    """POST /session/password."""

    secret: str
    """The one that counts now."""
    new_secret: str


class TokenRequest(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /session/tokens: an access token for oneself."""

    name: Annotated[str, Meta(min_length=1, max_length=TOKEN_NAME_MAX)]
    """What it is for."""
    scope: ScopeName
    """What it allows at most."""
    days: Annotated[float, Meta(gt=0)]
    """How long it counts; the server sets a bound."""
    namespaces: Annotated[list[str], Meta(extra_json_schema={"minItems": 1})] | None = None
    """Only in these; null: no such limit."""


class UserTokenRequest(TokenRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /admin/tokens: an access token for a user."""

    user: str


class TokenView(View, frozen=True, kw_only=True):
    """A token as it is listed; what is shown with requests is not kept anywhere."""

    id: str
    """How its stored hash begins; enough to revoke it."""
    user: str
    name: str = ""
    scope: str = ""
    """Empty: of a login, whatever the user may do."""
    namespaces: list[str] | None = None
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    """To the minute; null: never, or of a login."""
    current: bool = False
    """Whether it is the one that asks."""


class TokenMade(TokenView, frozen=True, kw_only=True):
    """The token appears here and never again."""

    token: str


class TokenPage(View, frozen=True):
    """Tokens that count; a page may be short yet have a `next`."""

    items: list[TokenView]
    next: str = ""


class TokensRevoked(View, frozen=True):
    """How many tokens were ended."""

    revoked: int
