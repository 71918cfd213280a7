"""`dts vhost`: make workers of hosts reached by SSH, and take that away."""

from typing import Any, Final

import click

from dts_core.cli.admin_vhosts import host_fields, host_options
from dts_core.cli.client_common import Where, server_options
from dts_core.cli.person_options import Part, person_options
from dts_core.cli.vhost_import import import_

__all__ = ["vhost"]

SCOPE: Final = click.Choice(["user", "system"])
WHICH: Final = (
    "failed", "unreachable", "timed_out", "cancelled", "never_started", "not_ok",
)  # fmt: skip
ONE_NEW: Final = "A new virtual host is one ID with --address; others are known."


@click.group()
def vhost() -> None:
    """Hosts reached by SSH: make workers of them, and take that away. `dts admin vhosts` keeps them."""


vhost.add_command(import_)


def many_options(command: Any) -> Any:
    """The options of a job that goes to many hosts."""
    for option in (
        click.option("--no-wait", is_flag=True, help="Print the job's id, and do not wait for it."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--at-once", type=click.IntRange(1, 200), default=20, show_default=True,
                     metavar="N", help="Most hosts at the same time."),
    ):  # fmt: skip
        command = option(command)
    return command


@vhost.command()
@click.argument("vhosts", metavar="[SELECTOR...]", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only tell each step: how it is, how it would be.")
@click.option("--scope", type=SCOPE, default="user", show_default=True,
              help="In the login's home, or for the machine (root or sudo).")  # fmt: skip
@click.option("--queue", "queues", multiple=True, metavar="Q", help="That it takes from. [default]")
@click.option("--batch", type=click.IntRange(0, 1000), default=0, metavar="N",
              help="Hosts of a batch; the next begins when it has ended.")  # fmt: skip
@click.option("--failures", type=click.IntRange(0, 1000), metavar="N",
              help="Hosts that may fail; with one more nothing new is begun.")  # fmt: skip
@click.option("--timeout", "seconds", type=click.FloatRange(0, 600, min_open=True), default=60.0,
              show_default=True, metavar="SECONDS", help="For each first heartbeat.")  # fmt: skip
@click.option("--again", default="", metavar="JOB", help="The same as that job, on some hosts.")
@click.option("--which", type=click.Choice(WHICH), help="On which; with --again. [not_ok]")
@person_options(sudo=True)
@many_options
@host_options
@server_options
def init(
    where: Where,
    vhosts: tuple[str, ...],
    again: str,
    which: str | None,
    no_wait: bool,
    yes: bool,
    **given: Any,
) -> int:
    """Make workers of virtual hosts, which need nothing but sh, Python 3.11 and a way to the broker.

    SELECTOR names virtual hosts as for `dts ssh`: web-1, web-[1-20], web-*; --label takes those that have it. With
    --address the virtual host is created first, from the same options as `dts admin vhosts add`. What is as it shall
    be is left alone: a second run changes nothing, after a cut it goes on, and after an upgrade of the server it
    upgrades. The end of each host is kept with the job: --again does the same on those that failed. Exit status 1:
    some host did not come to its end.

    \b
    Examples:
      dts vhost init web-1 --address web-1.example.org --user deploy --key-file k --known-host-file h
      dts vhost init 'web-[1-200]' --batch 10 --failures 0
      dts vhost init --again JOB --which failed
      dts vhost init web-1 --ask
    """  # noqa: D301 - below \b click keeps the lines
    from dts_core.cli.ssh_asking import person_of, terminal_of
    from dts_core.cli.vhost_run import chosen, confirm, started_again, told

    part = Part.taken(given, no_wait=no_wait)
    labels = given.pop("labels") if given["address"] is None else ()
    if bool(again) == bool(vhosts or labels) or (which and not again):
        raise click.UsageError("Name virtual hosts, or --label; or --again JOB with --which.")
    if again and part.login:
        raise click.UsageError("--login: as whom the job logged in, it does again.")
    options = {
        "dry_run": given.pop("dry_run"),
        "scope": given.pop("scope"),
        "queues": given.pop("queues"),
        "at_once": given.pop("at_once"),
        "batch": given.pop("batch"),
        "failures_max": given.pop("failures"),
        "wait_seconds": given.pop("seconds"),
    }
    fields = host_fields({"labels": (), **given})
    if fields and ("address" not in fields or len(vhosts) != 1):
        raise click.UsageError(ONE_NEW)
    keys, person = person_of(part)
    with where.client() as client:
        if again:
            hosts, job = started_again(client, where, again, which or "not_ok", person, yes=yes)
            return told(client, where, job, terminal_of(part, keys, hosts), no_wait=no_wait)
        if fields:
            client.vhosts.add(vhosts[0], **fields)
        hosts, is_plain = chosen(client, vhosts, labels)
        if not is_plain and not options["dry_run"]:
            confirm(where, hosts, "Make workers of them?", yes=yes)
        options |= person | {"user": part.login}
        job = client.vhosts.init(hosts[0], others=hosts[1:], **options)
        return told(client, where, job, terminal_of(part, keys, hosts), no_wait=no_wait)


@vhost.command()
@click.argument("vhosts", metavar="[SELECTOR...]", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only see that it could be done.")
@click.option("--authorized-keys", default="~/.ssh/authorized_keys", show_default=True,
              metavar="FILE", help="Of the keys that the hosts let in.")  # fmt: skip
@click.option("--label", "labels", multiple=True, metavar="NAME[=VALUE]",
              help="Only hosts with it; repeat it.")  # fmt: skip
@many_options
@server_options
def rotate(
    where: Where,
    vhosts: tuple[str, ...],
    labels: tuple[str, ...],
    dry_run: bool,
    authorized_keys: str,
    at_once: int,
    no_wait: bool,
    yes: bool,
) -> int:
    """Give virtual hosts that log in with a stored key new ones, and shut the old ones out.

    Each new key is made on the server, let in beside the old one, tried, and stored; only then the old one's line is
    taken out. Exit status 1: on some host that could not be done; it lets the old key in as before.

    \b
    Examples:
      dts vhost rotate web-1 --dry-run
      dts vhost rotate 'web-*' --yes
    """  # noqa: D301 - below \b click keeps the lines
    from dts_core.cli.vhost_run import chosen, confirm, told

    if not vhosts and not labels:
        raise click.UsageError("Name virtual hosts, or --label.")
    with where.client() as client:
        hosts, _ = chosen(client, vhosts, labels)
        if not dry_run:
            confirm(where, hosts, "Replace the keys that we log in with there?", yes=yes)
        job = client.vhosts.rotate(
            hosts[0],
            others=hosts[1:],
            dry_run=dry_run,
            authorized_keys=authorized_keys,
            at_once=at_once,
        )
        return told(client, where, job, no_wait=no_wait)


@vhost.command()
@click.argument("vhosts", metavar="SELECTOR...", nargs=-1, required=True)
@click.option("--scope", type=SCOPE, default="user", show_default=True, help="As it was set up.")
@click.option("--keep-data", is_flag=True, help="Leave the worker's data folder.")
@person_options(sudo=True)
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
    **given: Any,
) -> int:
    """Take away from hosts everything that `init` made there, and see that nothing is left.

    The virtual hosts themselves stay; `dts admin vhosts delete` removes them. Exit status 1: something is left.
    """
    from dts_core.cli.ssh_asking import person_of, terminal_of
    from dts_core.cli.vhost_run import chosen, confirm, told

    part = Part.taken(given, no_wait=no_wait)
    keys, person = person_of(part)
    with where.client() as client:
        hosts, _ = chosen(client, vhosts, ())
        confirm(where, hosts, "Stop their workers and remove them there?", yes=yes)
        options = person | {"scope": scope, "keep_data": keep_data, "user": part.login}
        job = client.vhosts.remove(hosts[0], others=hosts[1:], **options)
        return told(client, where, job, terminal_of(part, keys, hosts), no_wait=no_wait)
