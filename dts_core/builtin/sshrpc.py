"""A command or a function on many hosts reached by SSH, with the end of each host kept."""

from typing import Any, Final

import msgspec

from dts_core.builtin import Calling, NotAgain, current
from dts_core.builtin.person import remotes_of
from dts_core.children.calls import Call
from dts_core.errors import DtsError
from dts_core.pep723 import Script
from dts_core.remote.job import FanOutJob
from dts_core.remote.live import LiveOutputs
from dts_core.remote.work import CallWork, Work
from dts_core.services.users import LOCAL
from dts_core.ssh.fanout import FanOutPlan
from dts_core.ssh.outcome import HostState

__all__ = ["CallRefused", "HostsFailed", "main"]

KEPT_BYTES: Final = 64 << 20
"""Output of all hosts of one job together, and results as much again."""
KEPT_LEAST: Final = 4 << 10
KEPT_MOST: Final = 256 << 10


class CallRefused(NotAgain):
    """There is no such function or version any more."""

    code = "call_refused"


class HostsFailed(NotAgain):
    """Not every host ended ok."""

    code = "hosts_failed"
    default_advice = (
        "See `dts ssh --show JOB`; `dts ssh --again JOB --which failed` runs it there again."
    )


async def main(
    hosts: list[str],
    argv: list[str] | None = None,
    function: str = "",
    version: str = "",
    args: list[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    at_once: int = 64,
    host_seconds: float = 600.0,
    batches: list[int] | None = None,
    failures_max: int | None = None,
    ask: bool = False,
    own_keys: list[str] | None = None,
    user: str = "",
) -> dict[str, Any]:
    """Run it on each host once; hosts that an earlier attempt has begun are never begun again.

    Args:
        hosts: Ids of virtual hosts.
        argv: A plain command, word by word.
        function: In place of it: namespace/name of a stored function.
        version: Its hash.
        args: Its positional arguments.
        kwargs: Its named arguments.
        at_once: Most hosts at the same time.
        host_seconds: For one host, once it runs there.
        batches: Sizes of batches, the last one again and again; one begins when the one before has ended.
        failures_max: Hosts that may end otherwise than ok; with one more nothing new is begun.
        ask: Whether whoever called is asked for what is not stored.
        own_keys: Public keys of their SSH agent, in place of what is stored; each signature is asked of them.
        user: Log in as this user of the hosts.

    Returns:
        hosts: how many; and how many of them ended in each state. What they printed is kept with the job.
    """
    calling = current()
    kept = min(max(KEPT_BYTES // max(len(hosts), 1), KEPT_LEAST), KEPT_MOST)
    call = script = None
    if function:
        call, script = await _call(calling, function, version, args or [], kwargs or {})
        call = msgspec.structs.replace(call, timeout_seconds=host_seconds, result_max=kept)
    plan = FanOutPlan(at_once=at_once, batches=tuple(batches or ()), failures_max=failures_max)
    caller = msgspec.structs.replace(LOCAL, user=calling.submitter)
    work = Work(argv=argv or [], call=call, script=script, seconds=host_seconds, output_max=kept)
    store, claim = calling.services.store, (calling.job, calling.epoch)
    async with (
        remotes_of(calling, ask=ask, own_keys=own_keys, user=user) as remotes,
        LiveOutputs(store, *claim, len(hosts)) as live,
    ):
        # What was sent to a host is remembered by those of all.
        packages = calling.remotes.packages(calling.services.setups.settings) if script else None
        one = CallWork(remotes, work, live, packages)
        job = FanOutJob(calling, hosts, caller, remotes)
        counts = await job.run(one, plan, prepare=one.prepare)
    bad = {state: count for state, count in counts.items() if state != HostState.OK}
    if bad:
        shares = ", ".join(f"{count} {state}" for state, count in bad.items())
        raise HostsFailed(f"{sum(bad.values())} of {len(hosts)} hosts did not end ok: {shares}.")
    return {"hosts": len(hosts), **counts}


async def _call(
    calling: Calling, function: str, version: str, args: list[Any], kwargs: dict[str, Any]
) -> tuple[Call, Script | None]:
    """The call, and what its source declares."""
    functions = calling.services.functions
    try:
        found = await functions.load(LOCAL, function)
        source = await functions.source(LOCAL, function, version=version)
    except DtsError as error:
        raise CallRefused(str(error)) from error
    chosen = next(each for each in found.versions if each.hash == source.hash)
    declares = chosen.dependencies or chosen.requires_python
    script = Script(chosen.requires_python, chosen.dependencies) if declares else None
    call = Call(
        id=calling.job,
        function=found.id,
        hash=source.hash,
        source=source.source.encode(),
        is_async=chosen.is_async,
        args=msgspec.json.encode(args),
        kwargs=msgspec.json.encode(kwargs),
        submitter=calling.submitter,
    )
    return call, script
