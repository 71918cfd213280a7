"""What set-up made on a host, taken away; the virtual host itself stays."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, Literal

from dts_core.builtin import Calling, current
from dts_core.builtin.person import remotes_of
from dts_core.builtin.vhost.hosts import Board, caller_of, on_hosts
from dts_core.builtin.vhost.init import setup_of
from dts_core.builtin.vhost.sudo import sudo_of
from dts_core.errors import SetupFailed
from dts_core.model import VirtualHost
from dts_core.services.status import Status
from dts_core.vault import Secret

if TYPE_CHECKING:
    from dts_core.ssh.target import Target

__all__ = ["main"]

LET_GO_SECONDS: Final = 60.0
"""For a gateway to let go of a worker, which finishes what it runs."""
LOOK_SECONDS: Final = 0.2


async def main(
    vhosts: list[str],
    scope: Literal["user", "system"] = "user",
    keep_data: bool = False,
    at_once: int = 20,
    ask: bool = False,
    own_keys: list[str] | None = None,
    user: str = "",
) -> dict[str, Any]:
    """Take away from virtual hosts everything that `init` made there, and see that nothing is left.

    Args:
        vhosts: Ids.
        scope: As they were set up.
        keep_data: Leave the workers' data folders.
        at_once: Most hosts at the same time.
        ask: Whether whoever called is asked for what is not stored, the password of sudo too.
        own_keys: Public keys of their SSH agent, in place of what is stored; each signature is asked of them.
        user: Log in as this user of the hosts.

    Returns:
        hosts: id -> state, and removed: whether there was anything, or why; and ids by state.
    """
    calling = current()
    await calling.remotes.open()
    from dts_core.ssh.fanout import FanOutPlan
    from dts_core.ssh.setup.wish import Wish

    board = Board(calling, len(vhosts))
    plan = FanOutPlan(at_once=at_once)
    async with remotes_of(calling, ask=ask, own_keys=own_keys, user=user) as remotes:
        await remotes.open()
        setup = setup_of(calling, remotes)

        async def one(target: "Target") -> dict[str, Any]:
            # Whatever it was set up for lies in the same places.
            wish = Wish(host=target.id, scope=scope, broker_url=Secret(""))
            vhost = await calling.services.vhosts.load(caller_of(calling), target.id)
            sudo = sudo_of(calling, remotes, target, vhost, scope)
            if vhost.mode == "agent":
                board.say(target.id, "its worker finishes what it runs", 0.05)
                await _let_go(calling, vhost)
            board.say(target.id, "taking away what was set up", 0.1)
            gone = await setup.remove(target, wish, sudo=sudo, keep_data=keep_data)
            if gone.left:
                raise SetupFailed(f"there is still {', '.join(gone.left[:10])}", host=target.id)
            board.say(target.id, "nothing is left" if gone.removed else "nothing was there", 1.0)
            return {"removed": gone.removed}

        return await on_hosts(calling, vhosts, one, plan, board=board, remotes=remotes)


async def _let_go(calling: Calling, vhost: VirtualHost) -> None:
    """Have the gateway launch nothing there any more, and wait until it has let go; what is left then is ended."""
    services = calling.services
    await services.vhosts.note(caller_of(calling), vhost.id, "take away", taken_away_by=calling.job)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LET_GO_SECONDS):
            await _gone(services.status, f"agent {vhost.id}")


async def _gone(status: Status, part: str) -> None:
    while True:
        if not await status.words_of(part):
            return
        await asyncio.sleep(LOOK_SECONDS)
