"""`dts admin vhosts scan`, `trust`, `forget-key`: which keys hosts show, confirmed by a person once."""

import sys
from typing import TYPE_CHECKING, Any

import click

from dts_core.cli.admin_output import written_line
from dts_core.cli.admin_vhosts import vhosts
from dts_core.cli.client_common import Where, print_json, print_table, server_options
from dts_core.cli.person_options import Part, person_options
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.clients import SyncAdminClient
    from dts_core.views import JobView

__all__ = ["vhosts"]


@vhosts.command()
@click.argument("hosts", metavar="ID...", nargs=-1, required=True)
@click.option(
    "--yes",
    is_flag=True,
    help="Pin what is unknown without asking. Only for first set-ups you trust.",
)
@click.option("--no-trust", is_flag=True, help="Only look.")
@person_options(login=False)
@server_options
def scan(where: Where, hosts: tuple[str, ...], yes: bool, no_trust: bool, **given: Any) -> int:
    """Look at the keys that hosts show, and pin those that are confirmed; nothing is shown to the hosts.

    Only hosts that the way leads through are logged in to: --ask and --as-me count for those.

    Compare the fingerprints over another way: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host. A host
    that shows another key than the pinned one is never pinned here. Exit status 1: some show another one, or none.

    \b
    Examples:
      dts admin vhosts scan web-1 web-2
      dts admin vhosts scan 'web-[1-20]' --no-trust --json
    """  # noqa: D301 - below \b click keeps the lines
    part = Part.taken(given, no_wait=False)
    with where.client() as client:
        job, found = _scanned(client, where, hosts, part)
        if where.as_json:
            print_json({"scan": job.id, "hosts": found})
        else:
            header = ("VHOST", "STATE", "TYPE", "FINGERPRINT", "WHY")
            rows = [
                (
                    name,
                    each["state"],
                    *(each.get(part, "") for part in ("type", "fingerprint", "why")),
                )
                for name, each in found.items()
            ]
            print_table(header, rows)
        unknown = [name for name, each in found.items() if each["state"] == "unknown"]
        if unknown and not no_trust and _may_pin(where, len(unknown), yes):
            for name in unknown:
                written = client.vhosts.trust(name, found[name]["fingerprint"], scan=job.id)
                if not where.as_json:
                    written_line(where, written)
    return 0 if all(each["state"] in ("pinned", "unknown") for each in found.values()) else 1


def _may_pin(where: Where, count: int, yes: bool) -> bool:
    if yes:
        return True
    if where.as_json or not sys.stdin.isatty():
        return False
    what = "this key is its host's" if count == 1 else f"these {count} keys are their hosts'"
    return click.confirm(f"You have compared them: {what}. Pin?", err=True)


@vhosts.command()
@click.argument("vhost", metavar="ID")
@click.argument("fingerprint", metavar="SHA256:...")
@person_options(login=False)
@server_options
def trust(where: Where, vhost: str, fingerprint: str, **given: Any) -> None:
    """Pin the key of a host if it is the one with this fingerprint, as its owner told it.

    \b
    Example:
      dts admin vhosts trust web-1 SHA256:9rW1...
    """  # noqa: D301 - below \b click keeps the lines
    part = Part.taken(given, no_wait=False)
    with where.client() as client:
        job, found = _scanned(client, where, (vhost,), part)
        state = found.get(vhost, {"state": "unreachable"})
        if state["state"] == "unreachable":
            raise click.ClickException(clean(state.get("why", "it shows no key"), 400))
        written_line(where, client.vhosts.trust(vhost, fingerprint, scan=job.id))


@vhosts.command("forget-key")
@click.argument("vhost", metavar="ID")
@click.option(
    "--reason", required=True, metavar="TEXT", help="Why it may show another key; recorded."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_options
def forget_key(where: Where, vhost: str, reason: str, yes: bool) -> None:
    """Remove the pinned key of a host that was set up anew; then `scan` it."""
    if not yes:
        click.confirm(f"Forget the pinned key of {clean(vhost, 120)}?", abort=True)
    with where.client() as client:
        written_line(where, client.vhosts.forget_key(vhost, reason=reason))


def _scanned(
    client: "SyncAdminClient", where: Where, hosts: tuple[str, ...], part: Part
) -> "tuple[JobView, dict[str, dict[str, Any]]]":
    from dts_core.cli.ssh_asking import person_of, terminal_of
    from dts_core.cli.vhost_run import followed

    keys, person = person_of(part)
    job = client.vhosts.scan(hosts, **person)
    # A signature is told of, and asked about: whom the way leads through was not named before.
    job = followed(client, where, job, terminal_of(part, keys, ()))
    if job.state != "done":
        why = job.error.message if job.error is not None else job.state
        raise click.ClickException(clean(f"the scan did not end well: {why}", 400))
    found: dict[str, dict[str, Any]] = job.result["hosts"]
    return job, found
