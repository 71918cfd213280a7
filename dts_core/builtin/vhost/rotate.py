"""The login keys of virtual hosts, replaced by new ones."""

import asyncio
from typing import TYPE_CHECKING, Any

from dts_core.builtin import NotAgain, current
from dts_core.builtin.vhost.hosts import Board, caller_of, on_hosts

if TYPE_CHECKING:
    from dts_core.ssh.target import Target

__all__ = ["NoKey", "main"]


class NoKey(NotAgain):
    """The virtual host logs in with something else than a stored key."""

    code = "no_key"


async def main(
    vhosts: list[str],
    dry_run: bool = False,
    authorized_keys: str = "~/.ssh/authorized_keys",
    at_once: int = 20,
) -> dict[str, Any]:
    """Give virtual hosts new login keys: let in, tried and stored, and only then the old ones shut out.

    Args:
        vhosts: Ids, of such as log in with a stored key.
        dry_run: Only see that each could be done.
        authorized_keys: Where the hosts keep the keys that they let in.
        at_once: Most hosts at the same time.

    Returns:
        hosts: id -> state, rotated, and the public_key that counts, or why; and ids by state.
    """
    calling = current()
    await calling.remotes.open()
    from dts_core.ssh.fanout import FanOutPlan
    from dts_core.ssh.keys import new_key
    from dts_core.ssh.setup.rotating import check_let_in, rotate_key, shut_out

    board, services, caller = Board(calling, len(vhosts)), calling.services, caller_of(calling)

    async def one(target: "Target") -> dict[str, Any]:
        vhost = await services.vhosts.load(caller, target.id)
        if not vhost.public_key or target.credentials.private_key is None or vhost.certificate:
            raise NoKey(f"{target.id} does not log in with a stored key that could be replaced.")
        sessions = calling.remotes.sessions
        await check_let_in(sessions, target, vhost.public_key, file=authorized_keys)
        if dry_run:
            board.say(target.id, f"its key stands in {authorized_keys}", 1.0)
            return {"rotated": False, "public_key": vhost.public_key}
        for stray in vhost.stray_keys:  # of a rotation that was cut
            if stray != vhost.public_key:
                await shut_out(sessions, target, stray, file=authorized_keys)
        pem, public = await asyncio.to_thread(new_key)
        both = [vhost.public_key, public]
        noted = await services.vhosts.note(caller, target.id, "rotate", stray_keys=both)

        async def keep() -> None:
            body = {"ssh_pem_cert": pem.reveal(), "revision": noted.revision}
            if vhost.sealed_passphrase:
                body["key_passphrase"] = None
            await services.vhosts.update(caller, target.id, body)
            board.say(target.id, "the new key lets us in, and is stored", 0.7)

        board.say(target.id, "a new key is let in and tried", 0.2)
        await rotate_key(
            sessions, target, old=vhost.public_key, new=public, private_key=pem,
            keep=keep, file=authorized_keys,
        )  # fmt: skip
        await services.vhosts.note(caller, target.id, "rotate", stray_keys=[])
        board.say(target.id, "the old key is shut out", 1.0)
        return {"rotated": True, "public_key": public}

    return await on_hosts(calling, vhosts, one, FanOutPlan(at_once=at_once), board=board)
