"""Runs on many hosts from the command line: named before they start, followed, shown by groups of the same answer."""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from dts_core.cli.client_common import Where, print_json, print_line
from dts_core.cli.client_jobs import json_value, keywords
from dts_core.cli.person_options import Part
from dts_core.cli.ssh_asking import Terminal, person_of, terminal_of
from dts_core.cli.ssh_stream import Printed
from dts_core.hostsets import fold
from dts_core.plain import words
from dts_core.plain.ssh import counts, group_text, how
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.clients import SyncAdminClient
    from dts_core.views.ssh import HostRunList, HostRunView, SshStarted

__all__ = ["again", "show_run", "start"]

LOOK_SECONDS: Final = 0.3
STREAM_SECONDS: Final = 0.2
PAGE: Final = 1000


def start(
    where: Where,
    hosts: Sequence[str],
    argv: Sequence[str],
    given: Mapping[str, Any],
    part: Part,
    *,
    yes: bool,
    no_wait: bool,
) -> int:
    """Show which hosts are meant, ask, start, follow; the exit status."""
    options = {name: given[name] for name in ("at_once", "host_seconds", "batches", "failures_max")}
    call = {
        "argv": argv,
        "function": given["function"],
        "version": given["version"],
        "args": [json_value(text, "--arg") for text in given["args"]],
        "kwargs": keywords(given["kwargs"]),
    }
    keys, person = person_of(part)
    person["user"] = part.login
    labels = dict(_label(text) for text in given["labels"])
    with where.client() as client:
        plan = client.ssh.start(hosts, labels=labels, dry_run=True, **call, **options, **person)
        what = shlex.join(argv) if argv else given["function"]
        streams = _streams(where, plan, given["stream"])
        _confirm(where, plan, what, yes=yes)
        # On exactly those that were shown, whatever has changed since.
        started = client.ssh.start(plan.hosts, **call, **options, **person)
        asking = terminal_of(part, keys, started.hosts)
        return _finish(where, client, started, asking, no_wait=no_wait, streams=streams)


def again(
    where: Where,
    job: str,
    which: str,
    digest: str,
    part: Part,
    *,
    yes: bool,
    no_wait: bool,
) -> int:
    """The same for a run that is done again on some of its hosts."""
    if not yes and (where.as_json or not sys.stdin.isatty()):
        raise click.UsageError("Nobody can be asked here: add --yes.")
    keys, person = person_of(part)
    with where.client() as client:
        plan = client.ssh.again(job, which, digest=digest, dry_run=True, **person)
        _confirm(where, plan, f"job {job} again, {which.replace('_', ' ')}", yes=yes)
        started = client.ssh.again(job, which, digest=digest, **person)
        asking = terminal_of(part, keys, started.hosts)
        return _finish(where, client, started, asking, no_wait=no_wait)


def show_run(where: Where, job: str, hosts: Sequence[str]) -> int:
    """Show how far a run is, or what some of its hosts printed; the exit status as of the run itself."""
    with where.client() as client:
        if not hosts:
            return _show(where, client, job)
        outputs = [client.ssh.output(job, host) for host in hosts]
    if where.as_json:
        print_json(outputs)
    else:
        for output in outputs:
            print_line(f"{clean(output.host, 120)}: {how(output)}")
            for text in (output.stdout, output.stderr, output.result):
                if text:
                    print_line(text.rstrip("\n"))
    return 0 if all(output.state == "ok" for output in outputs) else 1


def _label(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _confirm(where: Where, plan: "SshStarted", what: str, *, yes: bool) -> None:
    if where.as_json:
        return
    told = words.plural(len(plan.hosts), "host")
    click.echo(clean(f"{told}: {fold(plan.hosts)}", 4000), err=True)
    if len(plan.batches) > 1:
        sizes = ", ".join(map(str, plan.batches[:20])) + (", ..." if len(plan.batches) > 20 else "")
        click.echo(f"in {len(plan.batches)} batches: {sizes}", err=True)
    if not yes:
        click.confirm(clean(f"Run there: {what}", 2000), abort=True, err=True)


def _streams(where: Where, plan: "SshStarted", wanted: bool | None) -> bool:
    """Whether the output is printed as it comes: by default that of one host, for people."""
    if wanted and where.as_json:
        raise click.UsageError("--stream is for people: not with --json.")
    return len(plan.hosts) == 1 and not where.as_json if wanted is None else wanted


def _finish(
    where: Where,
    client: "SyncAdminClient",
    started: "SshStarted",
    asking: Terminal | None,
    *,
    no_wait: bool,
    streams: bool = False,
) -> int:
    assert started.job is not None
    job = started.job.id
    if no_wait:
        if where.as_json:
            print_json(started)
        else:
            print_line(clean(job, 40))
        return 0
    if not where.as_json:
        click.echo(f"job {clean(job, 40)}", err=True)
    printed = Printed(client, job, len(started.hosts)) if streams else None
    try:
        _follow(client, job, printed or _Live(quiet=where.as_json), asking)
    except KeyboardInterrupt:
        click.echo("it is cancelled; what runs is ended there", err=True)
        client.cancel([job])
        _follow(client, job, printed or _Live(quiet=True))
    return _show(where, client, job, with_groups=not streams)


class _Live:
    """What is told while it runs: hosts that did not end ok, and on a terminal one line that stands."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._stands = sys.stderr.isatty() and not quiet
        self._told: set[str] = set()

    def show(self, listed: "HostRunList") -> None:
        """What has changed."""
        for run in listed.items:
            self._tell(run)
        if self._stands:
            click.echo(f"\r\x1b[K{clean(counts(listed.counts), 200)}", nl=False, err=True)

    def _tell(self, run: "HostRunView") -> None:
        if self._quiet or run.host in self._told or run.state in ("ok", "running", "waiting"):
            return
        self._told.add(run.host)
        begin = "\r\x1b[K" if self._stands else ""
        click.echo(f"{begin}{clean(run.host, 120)}: {how(run)}", err=True)

    def end(self) -> None:
        """Leave the line."""
        if self._stands:
            click.echo("\r\x1b[K", nl=False, err=True)


def _follow(
    client: "SyncAdminClient", job: str, live: _Live | Printed, asking: Terminal | None = None
) -> None:
    """Until it is over; a server that is away meanwhile is waited for by the client's own tries."""
    position = 0
    try:
        while True:
            listed = client.ssh.changes(job, position, limit=PAGE)
            live.show(listed)
            if asking is not None and listed.questions:
                asking.look(client, job)
            position = listed.position
            if len(listed.items) == PAGE:
                continue
            if listed.is_over:
                return
            time.sleep(STREAM_SECONDS if isinstance(live, Printed) else LOOK_SECONDS)
    finally:
        if isinstance(live, _Live):
            live.end()


def _show(where: Where, client: "SyncAdminClient", job: str, *, with_groups: bool = True) -> int:
    listed = client.ssh.changes(job, 0, limit=1)
    is_ok = listed.is_over and set(listed.counts) <= {"ok"}
    if not with_groups and is_ok and listed.total == 1:
        return 0
    groups = client.ssh.groups(job)
    if where.as_json:
        print_json(
            {
                "job": job,
                "state": listed.job_state,
                "total": listed.total,
                "counts": listed.counts,
                "groups": groups.items,
            }
        )
        return 0 if is_ok else 1
    for group in groups.items if with_groups else ():
        for line in group_text(group):
            print_line(line)
    if groups.more:
        print_line(f"{groups.more} more groups: dts ssh --show {clean(job, 40)} --json")
    told = f"{words.plural(listed.total, 'host')}: {counts(listed.counts)}"
    click.echo(clean(f"{told}; job {job} is {listed.job_state}", 400), err=True)
    if not is_ok and listed.is_over:
        click.echo(f"again there: dts ssh --again {clean(job, 40)} --which not_ok", err=True)
    return 0 if is_ok else 1
