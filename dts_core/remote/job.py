"""One run of a fan-out's job: the hosts that have no end yet, to their ends; the same whoever took it up before."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from dts_core.model import HostRun
from dts_core.remote.ledger import Ledger
from dts_core.remote.remotes import Remotes
from dts_core.remote.work import HostWork, Prepare, Run, lost
from dts_core.services.access import Caller
from dts_core.ssh.fanout import FanOut, FanOutPlan
from dts_core.ssh.outcome import HostState, Outcome
from dts_core.ssh.target import Target
from dts_core.stores.base import RunStore
from dts_core.stores.limits import RUNS_MAX

if TYPE_CHECKING:
    from dts_core.builtin import Calling

__all__ = ["FanOutJob", "all_runs"]

_CRASHED: Final = "the control side ended while it ran there"
_ENDING_SECONDS: Final = 60.0
"""For what runs to be ended on all hosts, and their ends to be kept, once the job is cancelled."""
_HANDED_ON: Final = "the control side stopped while it ran there, and ended it"


async def all_runs(store: RunStore, job: str) -> list[HostRun]:
    """Every host of a job that was begun or has ended, by seq."""
    found: list[HostRun] = []
    while True:
        after = found[-1].seq if found else 0
        page = await store.runs(job, after=after)
        found += page
        if len(page) < RUNS_MAX:
            return found


class FanOutJob:
    """Runs once.

    Args:
        calling: The job.
        hosts: Ids of all its hosts, each once.
        caller: On whose behalf hosts are reached.
        remotes: The sessions, where they are not those of all.
        resumes: Whether what is run may be begun again, and then goes on: a host without an end is.
        on_end: Hears of each end; by default they are the job's progress.
    """

    def __init__(
        self,
        calling: "Calling",
        hosts: Sequence[str],
        caller: Caller,
        remotes: Remotes | None = None,
        *,
        resumes: bool = False,
        on_end: Callable[[Outcome], None] | None = None,
    ) -> None:
        self._calling = calling
        self._remotes = remotes or calling.remotes
        self._store: RunStore = calling.services.store
        self._hosts = hosts
        self._caller = caller
        self._resumes = resumes
        self._on_end = on_end or self._tell
        self._begun: set[str] = set()
        self._counts: Counter[str] = Counter()

    async def run(
        self, run: Run, plan: FanOutPlan, *, prepare: Prepare | None = None
    ) -> dict[str, int]:
        """Run it on every host that was not begun before; how many hosts stand in each state at the end.

        A host that was begun by an earlier claim and has no end is not begun again, unless what is run resumes: it
        failed, as lost. Cancelled, what runs is ended there, and each host's end is stored, before this raises.
        """
        calling = self._calling
        async with Ledger(self._store, calling.job, calling.epoch) as ledger:
            rest = await self._taken_up(ledger)
            host_work = HostWork(
                self._remotes,
                ledger,
                self._caller,
                run,
                why=f"job {calling.job}",
                on_changed=calling.services.host_trust.changed,
                prepare=prepare,
                begun=self._begun,
            )
            left = plan.failures_max
            if left is not None:
                left -= sum(self._counts.values()) - self._counts[HostState.OK]
            if rest and (left is None or left >= 0):
                bare = [Target(id=host, address=host, user="") for host in rest]
                fan = FanOut(bare, host_work, msgspec.structs.replace(plan, failures_max=left))
                await self._followed(fan, host_work)
        return await self._total()

    async def _taken_up(self, ledger: Ledger) -> list[str]:
        """Settle what an earlier claim has left; the hosts that are still to be begun."""
        known = {run.host: run for run in await all_runs(self._store, self._calling.job)}
        hanging = [run.host for run in known.values() if not run.has_ended]
        if self._resumes:
            self._begun.update(hanging)
            hanging = []
        await asyncio.gather(*(ledger.end(lost(host, _CRASHED)) for host in hanging))
        self._counts.update(run.state for run in known.values() if run.has_ended)
        self._counts[HostState.FAILED.value] += len(hanging)
        if known:
            self._calling.log(f"taken up again: {len(known)} hosts were begun before")
        return [host for host in self._hosts if host not in known or host in self._begun]

    async def _followed(self, fan: FanOut, work: HostWork) -> None:
        """Iterate to the end; a cancellation of the job ends what runs, and is raised when each end is stored."""
        following = asyncio.create_task(self._follow(fan, work), name=f"ssh-{self._calling.job}")
        try:
            await asyncio.shield(following)
        except asyncio.CancelledError:
            fan.cancel()
            await _ended(following)
            raise
        finally:
            following.cancel()

    async def _follow(self, fan: FanOut, work: HostWork) -> None:
        async for outcome in fan:
            if outcome.state is HostState.NEVER_STARTED:
                continue  # no record: whoever reads the job sees that it has none
            if self._resumes and self._is_handed_on(outcome):
                continue  # its mark stands, and the next claim goes on there
            await work.keep(self._told(outcome))
            self._counts[outcome.state.value] += 1
            self._on_end(outcome)

    def _told(self, outcome: Outcome) -> Outcome:
        """A host that was ended because this process stops was not cancelled by anybody."""
        return lost(outcome.host, _HANDED_ON) if self._is_handed_on(outcome) else outcome

    def _is_handed_on(self, outcome: Outcome) -> bool:
        return outcome.state is HostState.CANCELLED and not self._calling.is_cancelled

    def _tell(self, _: Outcome) -> None:
        done = sum(self._counts.values())
        shares = ", ".join(f"{count} {state}" for state, count in self._counts.items() if count)
        text = f"{done} of {len(self._hosts)} hosts: {shares}"
        self._calling.progress(done / max(len(self._hosts), 1), text)

    async def _total(self) -> dict[str, int]:
        counts = await self._store.count_runs(self._calling.job)
        missing = len(self._hosts) - sum(counts.values())
        return counts | ({HostState.NEVER_STARTED.value: missing} if missing else {})


async def _ended(task: "asyncio.Task[None]") -> None:
    """Wait for the end of a task; a job may be told more than once to stop, and this goes on for all that."""
    loop = asyncio.get_running_loop()
    by = loop.time() + _ENDING_SECONDS
    while not task.done() and loop.time() < by:
        with contextlib.suppress(asyncio.CancelledError):  # whoever waits for this raises it
            await asyncio.wait([task], timeout=by - loop.time())
