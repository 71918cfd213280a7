"""What a set-up asks the server for: the jobs that it is made of, and what became of them."""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dts_core.views import JobView, Written
from dts_core.views.ssh import HostRunView
from dts_tui.host_setup import INIT, REMOVAL, REMOVE, TRIAL, WORK, Options, newest_of

if TYPE_CHECKING:
    from dts_core.clients import AdminClient

LOOKED_MOST: Final = 100
"""Earlier jobs that are looked through for those on one host."""
NEWS_SECONDS: Final = 1.0
"""How long the server may hold a question for news back."""
LINES_MOST: Final = 200
TRIAL_ARGV: Final = ("true",)
TRIAL_SECONDS: Final = 60.0


class News(NamedTuple):
    """A job, what its log says, how the one host of a call ended, and how many questions its login asks."""

    job: JobView
    lines: list[str]
    run: HostRunView | None
    questions: int = 0


async def earlier(client: "AdminClient", vhost: str) -> dict[str, JobView]:
    """The newest jobs on a host, by kind, with their results."""
    inits = await client.jobs(function=INIT, limit=LOOKED_MOST)
    removals = await client.jobs(function=REMOVE, limit=LOOKED_MOST)
    found = newest_of(vhost, inits.items, removals.items)
    return {kind: await client.job(job.id) for kind, job in found.items()}


async def news(client: "AdminClient", kind: str, job_id: str) -> News:
    """How far a job is; answers when it has ended, or after a moment."""
    job = await client.job(job_id, wait=NEWS_SECONDS)
    lines: list[str] = []
    run, questions = None, 0
    if kind in (WORK, REMOVAL):
        page = await client.logs(job=job_id, limit=LINES_MOST)
        lines = [each.text for each in page.items]
    elif kind == TRIAL:
        hosts = await client.ssh.hosts(job_id, limit=1)
        run, questions = next(iter(hosts.items), None), hosts.questions
    return News(job, lines, run, questions)


async def scan(client: "AdminClient", vhost: str) -> JobView:
    """Look which key it shows."""
    return await client.vhosts.scan([vhost])


async def trust(client: "AdminClient", vhost: str, seen: dict[str, Any], job_id: str) -> Written:
    """Pin the key that was seen."""
    return await client.vhosts.trust(vhost, str(seen["fingerprint"]), scan=job_id)


async def try_login(client: "AdminClient", vhost: str, *, ask: bool = False) -> JobView:
    """Log in, and run what does nothing; with `ask`, whoever starts it is asked what the host wants."""
    answer = await client.ssh.start([vhost], argv=TRIAL_ARGV, host_seconds=TRIAL_SECONDS, ask=ask)
    assert answer.job is not None, "without dry_run a job is started"
    return answer.job


async def init(
    client: "AdminClient", vhost: str, options: Options, *, dry_run: bool = False
) -> JobView:
    """Look what would be made there, or make it."""
    return await client.vhosts.init(
        vhost,
        dry_run=dry_run,
        scope=options.scope,
        queues=list(options.queues),
        wait_seconds=options.wait_seconds,
    )


async def remove(client: "AdminClient", vhost: str, options: Options) -> JobView:
    """Take away what was made there."""
    return await client.vhosts.remove(vhost, scope=options.scope)
