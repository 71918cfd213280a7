"""`dts vhost import`: virtual hosts of the files that other programs keep, after showing what that takes."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dts_core.cli.client_common import Where, print_json, print_line, server_options
from dts_core.errors import ApiError, InvalidInput
from dts_core.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dts_core.clients import SyncAdminClient
    from dts_core.declared import Declared, Kept, Step
    from dts_core.hostfiles import Findings, FoundHost, ImportPlan, Sources

__all__ = ["import_"]

FILE: Final = click.Path(path_type=Path, dir_okay=False, exists=True)
NOTES_SHOWN: Final = 50


@click.command("import")
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.option("--ssh-config", "ssh_configs", type=FILE, multiple=True, metavar="FILE",
              help="Settings of ssh, such as ~/.ssh/config.")  # fmt: skip
@click.option("--inventory", "inventories", type=FILE, multiple=True, metavar="FILE",
              help="An inventory of Ansible; groups become labels.")  # fmt: skip
@click.option("--csv", "tables", type=FILE, multiple=True, metavar="FILE",
              help="A table; its first line names the columns.")  # fmt: skip
@click.option("--known-hosts", "known_keys", type=FILE, multiple=True, metavar="FILE",
              help="Keys of hosts, which become pinned keys.")  # fmt: skip
@click.option("--user", default="", metavar="NAME", help="Login name where a file tells none.")
@click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_options
def import_(
    where: Where, names: tuple[str, ...], user: str, dry_run: bool, yes: bool, **files: Any
) -> int:
    """Make virtual hosts of what ssh, Ansible or a table tells of hosts.

    Shows the plan, asks, and does it: all hosts, or those that are named (web-1, web-[1-20], web-*) with the hosts
    that their ways lead through. Each host is written whole or not at all. What a file does not tell stays as it is;
    nothing is deleted, no pinned key is replaced, no private key and no password is read. A second time nothing
    changes.

    Exit status 0: all is as the files tell. 1: some host is refused, or (--dry-run) something would be written.

    \b
    Examples:
      dts vhost import --ssh-config ~/.ssh/config --known-hosts ~/.ssh/known_hosts --dry-run
      dts vhost import --inventory hosts.ini --user deploy 'web-*'
    """  # noqa: D301 - below \b click keeps the lines
    from dts_core.hostfiles import Sources

    sources = Sources(**files)
    if not (sources.name_hosts or sources.known_keys):
        raise click.UsageError("Name a file: --ssh-config, --inventory, --csv or --known-hosts.")
    if where.as_json and not (yes or dry_run):
        raise click.UsageError("--json does not ask: give --yes or --dry-run with it.")
    with where.client() as client:
        work = _Import(client, sources, names, user)
        plan = work.plan()
        if not where.as_json:
            _show(plan, work.hosts, work.findings)
        if dry_run or not plan.steps:
            if where.as_json:
                print_json(_told(plan, work, 0))
            return 1 if plan.steps or plan.refused else 0
        if not yes:
            click.confirm("Do this?", abort=True, err=True)
        _do(where, work, plan)
    return 1 if plan.refused else 0


class _Import:
    """One import: what was found, and what the server says of it."""

    def __init__(
        self, client: "SyncAdminClient", sources: "Sources", names: tuple[str, ...], user: str
    ) -> None:
        from dts_core.cli.admin_held import forms, held
        from dts_core.cli.admin_trying import Hands
        from dts_core.hostfiles import chosen, read_hosts, with_known
        from dts_core.ssh.keys import AsyncsshKeys

        self._user = user
        self.hands: Hands = Hands(client, {})
        self.findings, self._keys = read_hosts(sources, _reader(), names, AsyncsshKeys().host_keys)
        _refuse(self.findings)
        self._kept: list[Kept] = held(client, forms(client)["vhosts"])
        found = with_known(
            self.findings.hosts, self._kept, self._keys, is_alone=not sources.name_hosts
        )
        self.hosts: Mapping[str, FoundHost] = chosen(found, names)

    def plan(self) -> "ImportPlan":
        """What is to be done, each step tried by the server, which writes nothing yet."""
        from dts_core.declared import Plan
        from dts_core.hostfiles import plan_of, settled

        declared: dict[str, Declared]
        declared, refused = plan_of(self.hosts, self._kept, self._keys, user=self._user)
        plan = settled(declared, self._kept, refused)
        tried, wrong = self.hands.tried(Plan(steps=plan.steps))
        if wrong:
            refused |= {each.file: f"{each.field}: {each.why}" for each in wrong}
            plan = settled(declared, self._kept, refused)
        steps = {step.key: step for step in tried.steps}
        return plan.only(steps)


def _reader() -> Any:
    from dts_core.cli.admin_output import read_small_file
    from dts_core.hostfiles.found import FILE_MAX

    return functools.partial(read_small_file, most=FILE_MAX)


def _refuse(findings: "Findings") -> None:
    """Tell every wrong line, and stop. Raises InvalidInput."""
    if not findings.mistakes:
        return
    for each in sorted(findings.mistakes):
        click.echo(str(each), err=True)
    count = len(findings.mistakes)
    what = "one line is" if count == 1 else f"{count} lines are"
    raise InvalidInput(f"{what} wrong: nothing was written.")


def _do(where: Where, work: _Import, plan: "ImportPlan") -> None:
    """Do the steps in order, telling each. Raises ApiError at the first that the server refuses."""
    for done, step in enumerate(plan.steps):
        try:
            work.hands.do(step)
        except ApiError as error:
            if where.as_json:
                print_json(_told(plan, work, done))
            raise ApiError(
                f"stopped after {done} of {len(plan.steps)} hosts, at {step.key.id}: "
                f"{clean(error.message, 600)}",
                answer_status=error.answer_status,
                answer_code=error.answer_code,
                fields=error.fields,
                advice="Hosts that were written are whole. Run it again: it goes on.",
            ) from error
        if not where.as_json:
            print_line(f"{'created' if step.verb == 'create' else 'changed'} {step.key.id}")
    if where.as_json:
        print_json(_told(plan, work, len(plan.steps)))
    elif plan.unpinned:
        _print_unpinned(plan.unpinned)


def _show(plan: "ImportPlan", hosts: "Mapping[str, FoundHost]", findings: "Findings") -> None:
    for note in findings.notes[:NOTES_SHOWN]:
        print_line(f"note: {clean(note, 600)}")
    if len(findings.notes) > NOTES_SHOWN:
        print_line(f"note: and {len(findings.notes) - NOTES_SHOWN} more, see --json")
    for step in plan.steps:
        _show_step(step, hosts[step.key.id])
    for name, why in plan.refused.items():
        print_line(f"! {clean(name, 120)} ({clean(hosts[name].where, 400)}): {clean(why, 600)}")
    counts = {verb: sum(step.verb == verb for step in plan.steps) for verb in ("create", "change")}
    print_line(
        f"{counts['create']} to create, {counts['change']} to change, {len(plan.same)} the same, "
        f"{len(plan.refused)} refused"
    )


def _show_step(step: "Step", host: "FoundHost") -> None:
    from dts_core.plain.operations import changes

    mark = "+" if step.verb == "create" else "~"
    print_line(f"{mark} {clean(step.key.id, 120)} ({clean(host.where, 400)})")
    for line in changes(step.changes):
        told = line.replace(": null -> ", ": ", 1) if step.verb == "create" else line
        print_line(f"    {clean(told, 400)}")
    for note in host.notes:
        print_line(f"    note: {clean(note, 400)}")


def _print_unpinned(names: list[str]) -> None:
    from dts_core.hostsets import fold

    print_line(f"without a pinned key, so that nothing is run there: {clean(fold(names), 2_000)}")
    print_line("compare and pin them: dts admin vhosts scan ID...")


def _told(plan: "ImportPlan", work: _Import, done: int) -> dict[str, Any]:
    return {
        "create": {each.key.id: each.changes for each in plan.steps if each.verb == "create"},
        "change": {each.key.id: each.changes for each in plan.steps if each.verb == "change"},
        "same": plan.same,
        "refused": plan.refused,
        "unpinned": plan.unpinned,
        "notes": {
            "": work.findings.notes,
            **{name: host.notes for name, host in work.hosts.items() if host.notes},
        },
        "done": done,
    }
