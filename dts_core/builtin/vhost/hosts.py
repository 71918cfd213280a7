"""The same on one or many virtual hosts within a job: their targets, their ends, and how far it all is."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dts_core.builtin import Calling, NotAgain
from dts_core.errors import DtsError
from dts_core.services.access import Caller, Role
from dts_core.text import clean, one_line

if TYPE_CHECKING:
    from dts_core.ssh.fanout import FanOutPlan
    from dts_core.ssh.outcome import Outcome
    from dts_core.ssh.target import Target

__all__ = ["Board", "SetupRefused", "caller_of", "on_hosts"]

Work = Callable[["Target"], Awaitable[dict[str, Any]]]
WARNING: Final = 30


class SetupRefused(NotAgain):
    """It ended otherwise than well on the one host that was meant."""

    code = "setup_refused"


def caller_of(calling: Calling) -> Caller:
    """On whose behalf a job opens secrets; that they may was checked when it was submitted."""
    return Caller(user=calling.submitter, role=Role.ADMIN, source="job", request_id=calling.job)


class Board:
    """How far a job is, over all of its hosts.

    Args:
        calling: The job.
        hosts: How many there are.
    """

    def __init__(self, calling: Calling, hosts: int) -> None:
        self._calling = calling
        self._shares: dict[str, float] = {}
        self._hosts = max(hosts, 1)

    def say(self, host: str, text: str, share: float, *, level: int = 20) -> None:
        """A line of the log and the job's progress.

        Args:
            host: Which.
            text: What happens there.
            share: How much of it is done there, 0..1.
            level: As in logging.
        """
        self._shares[host] = share
        line = one_line(clean(f"{host}: {text}"), 1000)
        self._calling.log(line, level=level)
        self._calling.progress(sum(self._shares.values()) / self._hosts, line)


async def on_hosts(
    calling: Calling, vhosts: Sequence[str], work: Work, plan: "FanOutPlan", *, why: str
) -> dict[str, Any]:
    """Do it on each, and tell of each how it ended.

    Returns:
        `hosts`: id -> `state` and what the work told, or `why` it did not end well; and for each state the ids.

    Raises:
        SetupRefused: There is one host alone, and it did not end well.
    """
    from dts_core.ssh.fanout import FanOut
    from dts_core.ssh.outcome import HostState, Outcome

    caller, board = caller_of(calling), Board(calling, len(vhosts))
    found: dict[str, dict[str, Any]] = {}
    targets: list[Target] = []
    for vhost in dict.fromkeys(vhosts):
        try:
            targets.append(await calling.remotes.target(caller, vhost, why=why))
        except DtsError as error:
            found[vhost] = _ended(HostState.UNREACHABLE.value, error.code, str(error))
            board.say(vhost, str(error), 1.0, level=WARNING)

    async def one(target: "Target") -> Outcome:
        told = await work(target)
        return Outcome(host=target.id, state=HostState.OK, result=msgspec.json.encode(told))

    async for outcome in FanOut(targets, one, plan):
        found[outcome.host] = _told(outcome)
        if outcome.error is not None:
            board.say(outcome.host, outcome.error.message, 1.0, level=WARNING)
    if len(vhosts) == 1 and found[vhosts[0]]["state"] != HostState.OK:
        raise SetupRefused(found[vhosts[0]]["why"])
    states: dict[str, list[str]] = {}
    for vhost in vhosts:
        states.setdefault(found[vhost]["state"], []).append(vhost)
    return {"hosts": {vhost: found[vhost] for vhost in vhosts}, **states}


def _told(outcome: "Outcome") -> dict[str, Any]:
    if outcome.error is not None:
        return _ended(outcome.state.value, outcome.error.type, outcome.error.message)
    told: dict[str, Any] = msgspec.json.decode(outcome.result)
    return {"state": outcome.state.value, **told}


def _ended(state: str, code: str, why: str) -> dict[str, Any]:
    return {"state": state, "code": code, "why": one_line(clean(why), 2000)}
