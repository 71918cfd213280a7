"""Jobs that set hosts up, from the command line: their hosts chosen, followed, and told one by one."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from dts_core.cli.client_common import Where, print_json, print_line, print_table
from dts_core.cli.ssh_asking import Terminal
from dts_core.hostsets import fold, split_names
from dts_core.plain import words
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.clients.client import SyncAdminClient
    from dts_core.views import JobView

__all__ = ["chosen", "confirm", "followed", "started_again", "told"]

LOOK_SECONDS: Final = 1.0
_MARKS: Final = frozenset("*?[,")


def chosen(
    client: "SyncAdminClient", selectors: Sequence[str], labels: Sequence[str]
) -> tuple[list[str], bool]:
    """The virtual hosts that are meant, as for `dts ssh`; and whether each of them was named plainly."""
    names = [name for text in selectors for name in split_names(text)]
    if not labels and not any(_MARKS & set(name) for name in selectors):
        return list(dict.fromkeys(names)), True
    pairs = {name: value for name, _, value in (text.partition("=") for text in labels)}
    # Nothing is run: the server tells which hosts such a call would go to.
    plan = client.ssh.start(names, labels=pairs, argv=["true"], dry_run=True)
    return plan.hosts, False


def confirm(where: Where, hosts: Sequence[str], question: str, *, yes: bool) -> None:
    """Name the hosts, and have a person agree. Raises UsageError where nobody can be asked."""
    if not yes and (where.as_json or not sys.stdin.isatty()):
        raise click.UsageError("Nobody can be asked here: add --yes.")
    if not where.as_json:
        told = words.plural(len(hosts), "host")
        click.echo(clean(f"{told}: {fold(hosts)}", 4000), err=True)
    if not yes:
        click.confirm(question, abort=True, err=True)


def started_again(
    client: "SyncAdminClient",
    where: Where,
    job: str,
    which: str,
    person: Mapping[str, Any],
    *,
    yes: bool,
) -> "tuple[list[str], JobView]":
    """The same as a job, on those of its hosts that ended in one way: which, and the job."""
    plan = client.ssh.again(job, which, dry_run=True, **person)
    confirm(where, plan.hosts, f"The same again there, as job {clean(job, 60)}?", yes=yes)
    started = client.ssh.again(job, which, **person)
    assert started.job is not None
    return started.hosts, started.job


def told(
    client: "SyncAdminClient",
    where: Where,
    job: "JobView",
    asking: Terminal | None = None,
    *,
    no_wait: bool,
) -> int:
    """Follow the job to its end unless that is not wanted, answer what it asks, and tell it; the exit status."""
    job = job if no_wait else followed(client, where, job, asking)
    return _told(where, job, no_wait=no_wait)


def followed(
    client: "SyncAdminClient", where: Where, job: "JobView", asking: Terminal | None
) -> "JobView":
    """Wait for the job, say what it does meanwhile, and have answered what its logins ask."""
    from dts_core.states import FINAL, JobState

    said = ""
    while JobState(job.state) not in FINAL:
        job = client.job(job.id, wait=LOOK_SECONDS)
        if job.progress_text and job.progress_text != said and not where.as_json:
            said = job.progress_text
            click.echo(clean(said, 400), err=True)
        if asking is not None:
            asking.look(client, job.id)
    return job


def _told(where: Where, job: "JobView", *, no_wait: bool) -> int:
    result: dict[str, Any] = job.result if isinstance(job.result, dict) else {}
    hosts: dict[str, dict[str, Any]] = result.get("hosts", {})
    if where.as_json:
        print_json(job)
    elif no_wait:
        print_line(clean(job.id, 40))
    elif not hosts:
        why = "" if job.error is None else f": {job.error.message}"
        print_line(clean(f"job {job.id} is {job.state}{why}", 2_000))
    for name, told in hosts.items() if not where.as_json else ():
        _print(name, told)
    whole = job.state == "done" and all(told["state"] == "ok" for told in hosts.values())
    if not (whole or no_wait or where.as_json) and len(hosts) > 1:
        click.echo(f"again there: dts vhost init --again {clean(job.id, 40)}", err=True)
    return 0 if no_wait or whole else 1


def _print(name: str, told: dict[str, Any]) -> None:
    print_line(clean(f"{name}: {_story(told)}", 2_000))
    steps = told.get("steps", [])
    if any(step["changes"] for step in steps):
        rows = [(step["name"], step["is"], step["will"]) for step in steps if step["changes"]]
        print_table(("STEP", "IS", "WILL BE" if not told["changed"] else "IS NOW"), rows)
    for warning in told.get("warnings", []):
        print_line(clean(f"  note: {warning}", 1_000))


def _story(told: dict[str, Any]) -> str:
    if told["state"] != "ok":
        return f"{told['state']}: {told.get('why', '')}"
    if "rotated" in told:
        return "a new key lets us in" if told["rotated"] else "its key can be replaced"
    if "removed" in told:
        return "nothing is left there" if told["removed"] else "nothing was there"
    facts = told["facts"]
    about = f"{facts['os']}, {facts['arch']}, Python {facts['python_version']}, {told['manager']}"
    if told["changed"]:
        return f"done ({about})"
    if any(step["changes"] for step in told["steps"]):
        return f"would be changed ({about})"
    return f"nothing to change ({about})"
