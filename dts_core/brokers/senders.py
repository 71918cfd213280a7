"""Who sent a message, as the broker vouches for it, against what its body says."""

from typing import Any, Final

from dts_core.errors import Forbidden
from dts_core.text import one_line

HOST_USER: Final = "dts.host."
"""Prefix of the broker's users for workers: `dts.host.<host>`."""
NOBODY: Final = f"{HOST_USER}?"
"""Stands for who did not sign a message, where the broker vouches for users; no host has such a name."""


def host_of(user: str) -> str | None:
    """The one host that a user speaks for; None for the control side's own, and where the broker keeps no users."""
    return user.removeprefix(HOST_USER) if user.startswith(HOST_USER) else None


def check_sender(user: str, body: Any) -> None:
    """A worker's user speaks for its own host alone. Bodies that name no host pass, signed ones.

    Raises:
        Forbidden: The body is another host's, or nobody's.
    """
    if user == NOBODY:
        raise Forbidden("it is not signed with the user that published it.")
    host = host_of(user)
    if host is None:
        return
    named = getattr(body, "host", host)
    if named != host:
        raise Forbidden(one_line(f"user {user} speaks for host {named!r}.", 300))
