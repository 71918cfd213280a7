"""What set-up made on a host, taken away; the virtual host itself stays."""

from typing import TYPE_CHECKING, Any, Literal

from dts_core.builtin import current
from dts_core.builtin.vhost.hosts import Board, on_hosts
from dts_core.builtin.vhost.init import setup_of, sudo_of
from dts_core.errors import SetupFailed
from dts_core.vault import Secret

if TYPE_CHECKING:
    from dts_core.ssh.target import Target

__all__ = ["main"]


async def main(
    vhosts: list[str],
    scope: Literal["user", "system"] = "user",
    keep_data: bool = False,
    at_once: int = 20,
) -> dict[str, Any]:
    """Take away from virtual hosts everything that `init` made there, and see that nothing is left.

    Args:
        vhosts: Ids.
        scope: As they were set up.
        keep_data: Leave the workers' data folders.
        at_once: Most hosts at the same time.

    Returns:
        hosts: id -> state, and removed: whether there was anything, or why; and ids by state.
    """
    calling = current()
    await calling.remotes.open()
    from dts_core.ssh.fanout import FanOutPlan
    from dts_core.ssh.setup.wish import Wish

    board = Board(calling, len(vhosts))
    setup = setup_of(calling)

    async def one(target: "Target") -> dict[str, Any]:
        # Whatever it was set up for lies in the same places.
        wish = Wish(host=target.id, scope=scope, broker_url=Secret(""))
        sudo = await sudo_of(calling, target, scope)
        board.say(target.id, "taking away what was set up", 0.1)
        gone = await setup.remove(target, wish, sudo=sudo, keep_data=keep_data)
        if gone.left:
            raise SetupFailed(f"there is still {', '.join(gone.left[:10])}", host=target.id)
        board.say(target.id, "nothing is left" if gone.removed else "nothing was there", 1.0)
        return {"removed": gone.removed}

    return await on_hosts(calling, vhosts, one, FanOutPlan(at_once=at_once), board=board)
