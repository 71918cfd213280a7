"""What sudo of a host is told in a set-up: the stored password of the login, or the answer of who started it."""

import asyncio
from typing import TYPE_CHECKING

from dts_core.builtin import Calling
from dts_core.builtin.vhost.hosts import caller_of
from dts_core.errors import SetupFailed
from dts_core.model import VirtualHost
from dts_core.text import clean
from dts_core.vault import Secret

if TYPE_CHECKING:
    from dts_core.remote import Remotes
    from dts_core.ssh.asking import Asking
    from dts_core.ssh.target import Target

__all__ = ["SudoPassword", "sudo_of"]


class SudoPassword:
    """Implements `Sudo` for one host: opened or asked for once, only where its sudo asks, and held for that visit.

    Args:
        calling: The call.
        remotes: Its sessions.
        target: The host.
        is_stored: Whether the password of its login is.
    """

    def __init__(
        self, calling: Calling, remotes: "Remotes", target: "Target", *, is_stored: bool
    ) -> None:
        self._calling = calling
        self._remotes = remotes
        self._target = target
        self._is_stored = is_stored
        self._password: Secret | None = None

    async def __call__(self) -> Secret | None:
        """See Sudo.

        Raises:
            SetupFailed: Nobody answered in time.
            DtsError: What is stored does not open, or nobody can be asked.
        """
        if self._password is None:
            self._password = await self._found()
        return self._password

    async def _found(self) -> Secret | None:
        if self._is_stored:
            vhosts, caller = self._calling.services.vhosts, caller_of(self._calling)
            return (await vhosts.credentials(caller, self._target.id, why="sudo")).password
        asking = self._remotes.asking
        return None if asking is None else await self._asked(asking)

    async def _asked(self, asking: "Asking") -> Secret | None:
        from dts_core.ssh.asking import Question

        question = Question(clean(f"sudo password of {self._target.user}"), is_secret=True)
        seconds = self._remotes.prompt_seconds
        try:
            async with asyncio.timeout(seconds):
                answers = await asking.answer(self._target.id, clean(""), [question])
        except TimeoutError:
            raise SetupFailed(
                f"sudo asks for a password, and nobody gave it in time ({seconds:.3g} s)",
                host=self._target.id,
                stage="sudo",
            ) from None
        return answers[0] if answers else None


def sudo_of(
    calling: Calling, remotes: "Remotes", target: "Target", vhost: VirtualHost, scope: str
) -> SudoPassword | None:
    """What is told to sudo of a host; None: it is not needed, or there is nothing to tell it.

    Args:
        calling: The call.
        remotes: Its sessions.
        target: The host, as it is logged in to: a password is stored for the user of its virtual host alone.
        vhost: Its virtual host.
        scope: system or user.
    """
    if scope != "system" or target.user == "root":
        return None
    is_stored = bool(vhost.sealed_password or "password" in vhost.references)
    is_stored = is_stored and target.user == vhost.user
    if not is_stored and remotes.asking is None:
        return None
    return SudoPassword(calling, remotes, target, is_stored=is_stored)
