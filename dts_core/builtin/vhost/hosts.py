"""The same on one or many virtual hosts within a job: their targets, their ends, and how far it all is."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from dts_core.builtin import Calling, NotAgain
from dts_core.model import HostRun, JobError
from dts_core.services.access import Caller, Role
from dts_core.stores.limits import OUTPUTS_MAX
from dts_core.text import clean, one_line

if TYPE_CHECKING:
    from dts_core.remote import Remotes
    from dts_core.ssh.fanout import FanOutPlan
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
    calling: Calling,
    vhosts: Sequence[str],
    work: Work,
    plan: "FanOutPlan",
    *,
    board: Board,
    remotes: "Remotes | None" = None,
) -> dict[str, Any]:
    """Do it on each, and tell of each how it ended; taken up again by another process, it goes on with the rest.

    Args:
        calling: The job.
        vhosts: Ids.
        work: What is done on one; begun again there, it goes on.
        plan: How.
        board: Hears of hosts that do not end well.
        remotes: The sessions, where they are not those of all.

    Returns:
        `hosts`: id -> `state` and what the work told, or `why` it did not end well; and for each state the ids.

    Raises:
        SetupRefused: There is one host alone, and it did not end well.
    """
    from dts_core.remote.job import FanOutJob
    from dts_core.ssh.outcome import HostState, Outcome

    vhosts = list(dict.fromkeys(vhosts))

    async def one(target: "Target") -> Outcome:
        started_at = calling.services.clock.now()
        result = msgspec.json.encode(await work(target))
        return Outcome(host=target.id, state=HostState.OK, result=result, started_at=started_at)

    def on_end(outcome: Outcome) -> None:
        if outcome.error is not None:
            board.say(outcome.host, outcome.error.message, 1.0, level=WARNING)

    job = FanOutJob(calling, vhosts, caller_of(calling), remotes, resumes=True, on_end=on_end)
    await job.run(one, plan)
    found = await _ends(calling, vhosts)
    if len(vhosts) == 1 and found[vhosts[0]]["state"] != HostState.OK:
        raise SetupRefused(found[vhosts[0]]["why"])
    states: dict[str, list[str]] = {}
    for vhost in vhosts:
        states.setdefault(found[vhost]["state"], []).append(vhost)
    return {"hosts": found, **states}


async def _ends(calling: Calling, vhosts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How each host ended, whichever claim of the job brought it there."""
    kept: dict[str, HostRun] = {}
    for at in range(0, len(vhosts), OUTPUTS_MAX):
        some = vhosts[at : at + OUTPUTS_MAX]
        runs = await calling.services.store.get_runs(calling.job, some, with_output=True)
        kept |= {run.host: run for run in runs}
    return {vhost: _told(kept.get(vhost)) for vhost in vhosts}


def _told(run: HostRun | None) -> dict[str, Any]:
    if run is None:
        return _ended(
            "never_started", "never_started", "its turn did not come: too many had failed"
        )
    if run.error is not None or run.output is None:
        error = run.error or JobError(type=run.state, message="nothing is known of its end")
        return _ended(run.state, error.type, error.message)
    told: dict[str, Any] = msgspec.json.decode(run.output.result)
    return {"state": run.state, **told}


def _ended(state: str, code: str, why: str) -> dict[str, Any]:
    return {"state": state, "code": code, "why": one_line(clean(why), 2000)}
