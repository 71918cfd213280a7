"""A login key replaced by a new one: the new one let in, tried and kept, and only then the old one shut out."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from dts_core.errors import RemoteError, SetupFailed
from dts_core.ssh.pool import Sessions
from dts_core.ssh.setup.farend import FarEnd
from dts_core.ssh.target import Credentials, Target
from dts_core.vault import Secret

__all__ = ["AUTHORIZED_KEYS", "check_let_in", "rotate_key", "shut_out"]

AUTHORIZED_KEYS: Final = "~/.ssh/authorized_keys"
TRY_SECONDS: Final = 20.0


async def check_let_in(
    sessions: Sessions, target: Target, key: str, *, file: str = AUTHORIZED_KEYS
) -> None:
    """See that a host lets a key in by a line of its file, which can then be replaced; nothing is changed.

    Raises:
        SetupFailed: Something else lets it in, so that it could not be shut out.
        RemoteError: The host cannot be looked at.
    """
    told = await _order(sessions, target, "authorized", line=key, file=file)
    if not told.get("authorized"):
        raise SetupFailed(
            f"its key does not stand in {file}, so that it could not be shut out",
            host=target.id,
            advice="Name the file that lets it in: --authorized-keys.",
        )


async def shut_out(
    sessions: Sessions, target: Target, key: str, *, file: str = AUTHORIZED_KEYS
) -> None:
    """Let a key in no more; nothing when it is not let in.

    Raises:
        RemoteError: It could not be done.
    """
    await _order(sessions, target, "unauthorize", line=key, file=file)


async def rotate_key(
    sessions: Sessions,
    target: Target,
    *,
    old: str,
    new: str,
    private_key: Secret,
    keep: Callable[[], Awaitable[None]],
    file: str = AUTHORIZED_KEYS,
) -> None:
    """Replace the key that a host lets us in with. At no moment are we shut out, wherever this is cut.

    Args:
        sessions: The pool.
        target: The host, with the old key.
        old: `TYPE BASE64` of it.
        new: The same of the new one; it gets the options of the old one's line.
        private_key: The new one, PEM.
        keep: Stores the new one; called once it was tried, before the old one is shut out.
        file: Where the host keeps the keys that it lets in.

    Raises:
        RemoteError: It could not be done; until the new one was kept, the old one counts and the new one is taken out.
    """
    await _order(sessions, target, "authorize", line=new, file=file, like=old)
    credentials = Credentials(private_key=private_key)
    fresh = msgspec.structs.replace(
        target, credentials=credentials, version=f"{target.version}+{new[-12:]}"
    )
    try:
        async with sessions.session(fresh) as session:
            await session.run(["true"], timeout=TRY_SECONDS)
    except RemoteError:
        await shut_out(sessions, target, new, file=file)
        raise
    await keep()
    await shut_out(sessions, fresh, old, file=file)


async def _order(sessions: Sessions, target: Target, do: str, **order: Any) -> dict[str, Any]:
    async with (
        sessions.session(target) as session,
        FarEnd.opened(session, root=False) as far,
    ):
        return await far.ask(do, **order)
