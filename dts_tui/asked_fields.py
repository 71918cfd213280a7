"""Forms that no collection has: an access token, a secret. Declared here as the server declares its own.

No Textual here.
"""

from typing import Any, Final

from dts_core.model import Parameter
from dts_core.views import CollectionView
from dts_tui.host_import import DETECTED, OPTIONS

SCOPES: Final = ("read", "submit", "operate", "admin")
SCOPE_NEEDS: Final = {"viewer": 1, "submitter": 2, "operator": 3, "admin": 4}
"""How many of SCOPES a role may give."""
SECRET_LEAST: Final = 8


def _field(name: str, type: str, help: str, **more: Any) -> Parameter:  # noqa: A002
    return Parameter(name=name, kind="keyword", type=type, help=help, **{"required": False, **more})


def token_fields(role: str, user: str, *, for_others: bool) -> CollectionView:
    """What an access token is made of.

    Args:
        role: Of whoever asks: their own token allows no more.
        user: Whose it is, unless they say otherwise.
        for_others: Whether it may be another user's.
    """
    scopes = [*SCOPES] if for_others else [*SCOPES[: SCOPE_NEEDS.get(role, 1)]]
    fields = [
        _field("_id", "text", "What it is for; a list tells it by this.", required=True),
        _field(
            "scope",
            "choice",
            "What it allows at most; never more than its user may at that moment.",
            choices=scopes,
            required=True,
        ),
        _field("days", "number", "How long it counts.", required=True, default=90),
        _field("namespaces", "list", "Only in these; empty: no such limit."),
    ]
    if for_others:
        told = "Whose it is; a user may stand for a program."
        fields.append(_field("user", "text", told, required=True, default=user))
    return CollectionView(name="tokens", one="access token", fields=fields, filters=[], sorts=[])


def password_fields() -> CollectionView:
    """One's own secret, by the old one."""
    fields = [
        _field("secret", "secret", "What you log in with now.", required=True),
        _field(
            "new_secret",
            "secret",
            f"What you log in with from then on, at least {SECRET_LEAST} characters.",
            required=True,
        ),
        _field("again", "secret", "The new one once more.", required=True),
    ]
    return CollectionView(name="password", one="secret", fields=fields, filters=[], sorts=[])


def reset_fields() -> CollectionView:
    """A new secret for somebody else."""
    told = f"At least {SECRET_LEAST} characters; empty: one is made, and shown once."
    return CollectionView(
        name="reset", one="secret", fields=[_field("secret", "secret", told)], filters=[], sorts=[]
    )


def setup_fields() -> CollectionView:
    """How a host is set up: what its virtual host does not say."""
    fields = [
        _field(
            "scope",
            "choice",
            "user: in the home of who logs in; system: for the machine, which needs root or sudo.",
            choices=["user", "system"],
            required=True,
            default="user",
        ),
        _field("queues", "list", "That its worker takes from; empty: default."),
        _field(
            "wait_seconds",
            "number",
            "How long its first heartbeat is waited for.",
            required=True,
            default=60,
        ),
    ]
    return CollectionView(name="setup", one="set-up", fields=fields, filters=[], sorts=[])


def import_fields() -> CollectionView:
    """Which file tells of hosts."""
    fields = [
        _field(
            "file",
            "text",
            "On this machine: settings of ssh, an inventory of Ansible, a table (CSV), or known_hosts.",
            required=True,
            default="~/.ssh/config",
        ),
        _field(
            "kind",
            "choice",
            "detected: told by its name, else by how it begins.",
            choices=[DETECTED, *OPTIONS],
            required=True,
            default=DETECTED,
        ),
        _field(
            "known_hosts", "text", "One more file: keys of these hosts, which become pinned keys."
        ),
        _field("user", "text", "Login name where the file tells none."),
        _field("names", "list", "Only these: web-1, web-[1-20], web-*; empty: all of them."),
    ]
    return CollectionView(name="import", one="import", fields=fields, filters=[], sorts=[])
