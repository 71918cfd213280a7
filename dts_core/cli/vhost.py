"""`dts vhost`: make workers of hosts reached by SSH, and take that away."""

from typing import TYPE_CHECKING, Any, Final

import click

from dts_core.cli.admin_vhosts import host_fields, host_options
from dts_core.cli.client_common import (
    Where,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.cli.vhost_import import import_
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.clients.client import SyncAdminClient
    from dts_core.views import JobView

__all__ = ["vhost"]

LOOK_SECONDS: Final = 1.0
SCOPE: Final = click.Choice(["user", "system"])


@click.group()
def vhost() -> None:
    """Hosts reached by SSH: make workers of them, and take that away. `dts admin vhosts` keeps them."""


vhost.add_command(import_)


@vhost.command()
@click.argument("vhosts", metavar="ID...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Only tell each step: how it is, how it would be.")
@click.option("--scope", type=SCOPE, default="user", show_default=True,
              help="In the login's home, or for the machine (root or sudo).")  # fmt: skip
@click.option("--queue", "queues", multiple=True, metavar="Q", help="That it takes from. [default]")
@click.option("--at-once", type=click.IntRange(1, 200), default=20, show_default=True, metavar="N")
@click.option("--batch", type=click.IntRange(0, 1000), default=0, metavar="N",
              help="Hosts of a batch; the next begins when it has ended.")  # fmt: skip
@click.option("--failures", type=click.IntRange(0, 1000), metavar="N",
              help="Hosts that may fail; with one more nothing new is begun.")  # fmt: skip
@click.option("--timeout", "seconds", type=click.FloatRange(0, 600, min_open=True), default=60.0,
              show_default=True, metavar="SECONDS", help="For each first heartbeat.")  # fmt: skip
@click.option("--no-wait", is_flag=True, help="Print the id of the job, and do not wait for it.")
@host_options
@server_options
def init(
    where: Where,
    vhosts: tuple[str, ...],
    dry_run: bool,
    scope: Any,
    queues: tuple[str, ...],
    at_once: int,
    batch: int,
    failures: int | None,
    seconds: float,
    no_wait: bool,
    **given: Any,
) -> int:
    """Make workers of virtual hosts, which need nothing but sh, Python 3.11 and a way to the broker.

    With --address the virtual host is created first, from the same options as `dts admin vhosts add`. What is as it
    shall be is left alone: a second run changes nothing, after a cut it goes on, and after an upgrade of the server
    it upgrades. Exit status 1: some host did not come to its end.

    \b
    Examples:
      dts vhost init web-1 --address web-1.example.org --user deploy --key-file k --known-host-file h
      dts vhost init web-1 --dry-run
      dts vhost init web-1 web-2 web-3 --batch 1 --failures 0
    """  # noqa: D301 - below \b click keeps the lines
    fields = host_fields(given)
    if fields and ("address" not in fields or len(vhosts) > 1):
        raise click.UsageError("A new virtual host is one ID with --address; others are known.")
    with where.client() as client:
        if fields:
            client.vhosts.add(vhosts[0], **fields)
        job = client.vhosts.init(
            vhosts[0],
            others=vhosts[1:],
            dry_run=dry_run,
            scope=scope,
            queues=queues,
            at_once=at_once,
            batch=batch,
            failures_max=failures,
            wait_seconds=seconds,
        )
        job = job if no_wait else _followed(client, where, job)
    return _told(where, job, no_wait=no_wait)


@vhost.command()
@click.argument("vhosts", metavar="ID...", nargs=-1, required=True)
@click.option("--scope", type=SCOPE, default="user", show_default=True, help="As it was set up.")
@click.option("--keep-data", is_flag=True, help="Leave the worker's data folder.")
@click.option("--no-wait", is_flag=True, help="Print the id of the job, and do not wait for it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_options
def remove(
    where: Where,
    vhosts: tuple[str, ...],
    scope: Any,
    keep_data: bool,
    no_wait: bool,
    yes: bool,
) -> int:
    """Take away from hosts everything that `init` made there, and see that nothing is left.

    The virtual hosts themselves stay; `dts admin vhosts delete` removes them. Exit status 1: something is left.
    """
    if not yes:
        names = ", ".join(clean(each, 120) for each in vhosts)
        click.confirm(f"Stop the workers of {names} and remove them there?", abort=True)
    with where.client() as client:
        job = client.vhosts.remove(vhosts[0], others=vhosts[1:], scope=scope, keep_data=keep_data)
        job = job if no_wait else _followed(client, where, job)
    return _told(where, job, no_wait=no_wait)


def _followed(client: "SyncAdminClient", where: Where, job: "JobView") -> "JobView":
    """Wait for the job, and say what it does meanwhile."""
    from dts_core.states import FINAL, JobState

    said = ""
    while JobState(job.state) not in FINAL:
        job = client.job(job.id, wait=LOOK_SECONDS)
        if job.progress_text and job.progress_text != said and not where.as_json:
            said = job.progress_text
            click.echo(clean(said, 400), err=True)
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
    if "removed" in told:
        return "nothing is left there" if told["removed"] else "nothing was there"
    facts = told["facts"]
    about = f"{facts['os']}, {facts['arch']}, Python {facts['python_version']}, {told['manager']}"
    if told["changed"]:
        return f"done ({about})"
    if any(step["changes"] for step in told["steps"]):
        return f"would be changed ({about})"
    return f"nothing to change ({about})"
