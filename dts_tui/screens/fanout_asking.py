"""What a board asks the server for: all hosts of a job, and what changed since."""

from typing import TYPE_CHECKING

from dts_core.views import JobPage, JobView
from dts_core.views.ssh import HostRunList
from dts_tui.fanout import SSHRPC

if TYPE_CHECKING:
    from dts_core.clients import AdminClient

PAGE = 500
EARLIER_MOST = 100
"""Earlier fan-outs that are offered to compare with."""


async def all_hosts(client: "AdminClient", job: str) -> list[HostRunList]:
    """Every host of a job, page by page."""
    pages = [await client.ssh.hosts(job, limit=PAGE)]
    while following := pages[-1].next:
        pages.append(await client.ssh.hosts(job, start=following, limit=PAGE))
    return pages


async def earlier_runs(client: "AdminClient") -> JobPage:
    """The newest fan-outs, their arguments too."""
    return await client.jobs(function=SSHRPC, limit=EARLIER_MOST)


async def news(client: "AdminClient", job: str, after: int) -> tuple[JobView, HostRunList]:
    """The job, and those of its hosts that changed after a position."""
    return await client.job(job), await client.ssh.changes(job, after)
