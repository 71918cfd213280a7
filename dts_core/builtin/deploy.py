"""A version of a function on every live worker ahead of its first job."""

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Final

from dts_core.builtin import Calling, NotAgain, current
from dts_core.builtin.deployed import FAILED, READY, SILENT, HostReport, report_on
from dts_core.errors import BrokerError, DtsError
from dts_core.model import Ahead, Function, Host, Reload
from dts_core.services.messages import send_order
from dts_core.services.users import LOCAL
from dts_core.text import clean

__all__ = ["DeployRefused", "main"]

LIVE: Final = ("up", "late")
"""States of hosts that are meant where none is named."""
LOOK_SECONDS: Final = 0.5
"""How often it is looked who has answered."""
AGAIN_SECONDS: Final = 5.0
"""How often those are told again who have not: the fanout may lose."""
WAIT_MAX_SECONDS: Final = 600.0
WARNING: Final = 30


class DeployRefused(NotAgain):
    """There is no such function, version or host."""

    code = "deploy_refused"


async def main(
    function: str,
    version: str = "",
    hosts: list[str] | None = None,
    wait_seconds: float = 60.0,
) -> dict[str, Any]:
    """Have every worker fetch a version, make its environment and import it once, and tell who has it.

    Args:
        function: namespace/name.
        version: Its hash; empty: the default one.
        hosts: Only these; all that live when missing.
        wait_seconds: How long to wait for all of them, at most 600.

    Returns:
        function, version; hosts: host -> state (ready, failed, silent), why, and workers: worker -> the same and runs,
        the hash of the version that it loaded last; ready, failed, silent: names of hosts.
    """
    calling = current()
    found, digest = await _version(function, version)
    wanted = await _targets(hosts)
    order = Reload(
        found.id,
        digest,
        Ahead(
            order=calling.job,
            hosts=[] if hosts is None else wanted,
            is_default=digest == found.default and not found.canary_hosts,
        ),
    )
    calling.log(f"version {digest[:12]} of {found.id} goes to {len(wanted)} hosts")
    reports = await _until_all(calling, order, wanted, min(wait_seconds, WAIT_MAX_SECONDS))
    for name, report in reports.items():
        if report.state != READY:
            calling.log(f"{name}: {report.state}: {report.words()}", level=WARNING)
    return {
        "function": found.id,
        "version": digest,
        "hosts": {name: report.shown() for name, report in reports.items()},
        **{state: _named(reports, state) for state in (READY, FAILED, SILENT)},
    }


async def _version(function: str, version: str) -> tuple[Function, str]:
    functions = current().services.functions
    try:
        found = await functions.load(LOCAL, function)
    except DtsError as error:
        raise DeployRefused(str(error)) from error
    digest = version or found.default
    if all(each.hash != digest for each in found.versions):
        raise DeployRefused(f"function {found.id} has no version {clean(digest, 64)!r}.")
    return found, digest


async def _targets(asked: Sequence[str] | None) -> list[str]:
    """Names of the hosts that are meant, sorted."""
    known = {host.name: host for host in await current().services.store.hosts()}
    if asked is None:
        return sorted(name for name, host in known.items() if host.state in LIVE)
    unknown = [clean(name, 120) for name in asked if name not in known]
    if unknown or not asked:
        raise DeployRefused(
            f"there is no host {', '.join(unknown)}." if unknown else "no host is named.",
            advice="See `dts hosts`.",
        )
    return sorted(set(asked))


async def _until_all(
    calling: Calling, order: Reload, wanted: Sequence[str], seconds: float
) -> Mapping[str, HostReport]:
    """Tell them, and again those that say nothing, until each has answered or the time is over."""
    deadline, told_at, answered = monotonic() + seconds, float("-inf"), -1
    while True:
        if monotonic() - told_at >= AGAIN_SECONDS:
            told_at = monotonic()
            await _tell(calling, order)
        reports = await _look(calling, order, wanted)
        over = sum(report.is_over for report in reports.values())
        if over != answered:
            answered = over
            calling.progress(over / max(len(wanted), 1), f"{over} of {len(wanted)} hosts")
        if over == len(wanted) or monotonic() >= deadline:
            return reports
        await asyncio.sleep(LOOK_SECONDS)


async def _tell(calling: Calling, order: Reload) -> None:
    try:
        await send_order(calling.services.broker, order)
    except BrokerError as error:
        calling.log(f"the workers are told later: {error}", level=WARNING)


async def _look(calling: Calling, order: Reload, wanted: Sequence[str]) -> Mapping[str, HostReport]:
    known: dict[str, Host] = {host.name: host for host in await calling.services.store.hosts()}
    return {name: report_on(known.get(name), calling.job) for name in wanted}


def _named(reports: Mapping[str, HostReport], state: str) -> list[str]:
    return [name for name, report in reports.items() if report.state == state]
