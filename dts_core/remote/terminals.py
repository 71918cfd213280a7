"""Terminals on virtual hosts, over the sessions that are kept with them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from dts_core.errors import HostKeyChanged
from dts_core.remote.remotes import Remotes
from dts_core.services.access import Caller
from dts_core.services.hosttrust import HostTrust
from dts_core.views.shell import ShellQuery

if TYPE_CHECKING:  # asyncssh is slow to load
    from dts_core.ssh.terminal import Terminal

__all__ = ["Terminals"]


class HasTrust(Protocol):
    """The part of the services that is needed here."""

    @property
    def host_trust(self) -> HostTrust:
        """Hears of changed keys."""
        ...


class Terminals:
    """See `services.shells.Reach`.

    Args:
        services: Hear of a host that shows another key than the pinned one.
        remotes: The sessions; entered and closed by whoever made it.
    """

    def __init__(self, services: HasTrust, remotes: Remotes) -> None:
        self._services = services
        self._remotes = remotes

    @asynccontextmanager
    async def __call__(
        self, caller: Caller, vhost_id: str, asked: ShellQuery
    ) -> "AsyncIterator[Terminal]":
        """A terminal for the length of a block.

        Raises:
            DtsError: Why there is none: the host, its key, its login, its secrets.
        """
        why = f"a shell of user {caller.user}"
        target = await self._remotes.target(caller, vhost_id, why=why)
        from dts_core.ssh.terminal import TerminalKind, open_terminal

        kind = TerminalKind(term=asked.term, columns=asked.columns, rows=asked.rows)
        try:
            async with (
                self._remotes.sessions.session(target) as session,
                open_terminal(session, kind) as terminal,
            ):
                yield terminal
        except HostKeyChanged as error:
            await self._services.host_trust.changed(error)
            raise
