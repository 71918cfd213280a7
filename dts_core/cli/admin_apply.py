"""`dts admin apply`: make the server hold what a folder declares, after showing what that takes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dts_core.cli.client_common import Where, print_json, print_line, server_options
from dts_core.errors import ApiError, InvalidInput
from dts_core.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dts_core.cli.admin_trying import Hands
    from dts_core.clients import SyncAdminClient
    from dts_core.declared import Form, Held, Misfit, Plan, Step

MARKS: Final = {"create": "+", "change": "~", "delete": "-"}
DONE: Final = {"create": "created", "change": "changed", "delete": "deleted"}
SOURCE_SHOWN: Final = 12


@click.command()
@click.option(
    "-f", "--folder", required=True, metavar="FOLDER",
    type=click.Path(path_type=Path), help="What `dts admin export` writes.",
)  # fmt: skip
@click.option("--prune", is_flag=True, help="Delete what is not declared, see above.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show the plan and write nothing.")
@click.option(
    "--secrets-file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
    help="TOML of mode 0600 with secrets of new documents.",
)  # fmt: skip
@server_options
def apply(
    where: Where, folder: Path, prune: bool, yes: bool, dry_run: bool, secrets_file: Path | None
) -> int:
    """Make users, namespaces, functions and virtual hosts what FOLDER declares.

    Shows the plan, asks, and does it. A field that a file leaves out has its default; secrets that
    are kept stay. --prune deletes, of each collection that has a folder in FOLDER, all others. Cut
    off, or stopped since somebody changed a document meanwhile, the same command goes on.

    Exit status 0: all is as declared. 1: it is not, or would not be (--dry-run).

    \b
    Examples:
      dts admin apply -f declared/ --dry-run
      dts admin apply -f declared/ --prune --secrets-file new.toml
    """  # noqa: D301 - below \b click keeps the lines
    from dts_core.cli.admin_trying import Hands

    if where.as_json and not (yes or dry_run):
        raise click.UsageError("--json does not ask: give --yes or --dry-run with it.")
    with where.client() as client:
        plan, secrets = planned(client, folder.expanduser().absolute(), prune, secrets_file)
        hands = Hands(client, secrets)
        plan, wrong = hands.tried(plan)
        _refuse(folder, wrong)
        if not where.as_json:
            _show(plan)
        if dry_run or not plan.steps:
            if where.as_json:
                print_json(_told(plan, []))
            return 0 if plan.is_done else 1
        if not yes:
            click.confirm("Do this?", abort=True, err=True)
        _do(where, hands, plan)
    return 1 if plan.held else 0


def planned(
    client: "SyncAdminClient", folder: Path, prune: bool, secrets_file: Path | None
) -> "tuple[Plan, dict[Any, dict[str, str]]]":
    """The plan, with the secrets for it. Raises InvalidInput, having told every wrong file."""
    from dts_core.cli.admin_folder import read_folder
    from dts_core.cli.admin_held import forms, held
    from dts_core.cli.admin_secrets_file import read_secrets
    from dts_core.declared import make_plan, misfits

    known: Mapping[str, Form] = forms(client)
    found = read_folder(folder, known)
    _refuse(folder, found.misfits)
    secrets = read_secrets(secrets_file, known, found.documents) if secrets_file else {}
    kept = [each for form in known.values() for each in held(client, form)]
    pruned = found.collections if prune else frozenset()
    _refuse(folder, misfits(found.documents, kept, prune=pruned))
    me = client.session().user
    return make_plan(found.documents, kept, secrets=secrets, prune=pruned, me=me), secrets


def _refuse(folder: Path, wrong: "list[Misfit]") -> None:
    """Tell every mistake in a line of its own, and stop. Raises InvalidInput."""
    from dts_core.cli.admin_folder import line_of

    if not wrong:
        return
    for each in sorted(wrong):
        click.echo(line_of(folder, each), err=True)
    count = "one mistake" if len(wrong) == 1 else f"{len(wrong)} mistakes"
    raise InvalidInput(f"{count} in {clean(str(folder), 400)}: nothing was written.")


def _do(where: Where, hands: "Hands", plan: "Plan") -> None:
    """Do the steps in order, telling each. Raises ApiError at the first that the server refuses."""
    done: list[Step] = []
    for step in plan.steps:
        try:
            hands.do(step)
        except ApiError as error:
            if where.as_json:
                print_json(_told(plan, done))
            raise _stopped(step, error, len(done), len(plan.steps)) from error
        done.append(step)
        if not where.as_json:
            print_line(f"{DONE[step.verb]} {_name(step)}")
    if where.as_json:
        print_json(_told(plan, done))


def _stopped(step: "Step", error: ApiError, done: int, count: int) -> ApiError:
    what = f"{step.verb} {_name(step)}"
    why = error.message
    if "current" in error.told:
        why = f"somebody changed it since the plan was made (revision {step.revision})."
    return ApiError(
        f"stopped after {done} of {count} steps, at {what}: {clean(why, 600)}",
        answer_status=error.answer_status,
        answer_code=error.answer_code,
        fields=error.fields,
        advice="What was done stays done. Run it again: it makes a new plan and goes on.",
    )


def _show(plan: "Plan") -> None:
    from dts_core.plain.operations import changes

    for step in plan.steps:
        print_line(f"{MARKS[step.verb]} {_name(step)}")
        for line in changes(_shortened(step.changes)):
            told = line.replace(": null -> ", ": ", 1) if step.verb == "create" else line
            print_line(f"    {told}")
        for name in step.secrets:
            if name not in step.changes:
                print_line(f"    {name}: from the secrets file")
    for each in plan.held:
        _print_held(each)
    counts = {verb: sum(step.verb == verb for step in plan.steps) for verb in MARKS}
    print_line(
        f"{counts['create']} to create, {counts['change']} to change, {counts['delete']} to delete, "
        f"{plan.unchanged} as declared"
    )


def _print_held(held: "Held") -> None:
    print_line(f"! {held.key.collection} {clean(held.key.id, 250)}: {clean(held.why, 600)}")


def _told(plan: "Plan", done: "list[Step]") -> dict[str, Any]:
    def step(each: "Step") -> dict[str, Any]:
        named = {"collection": each.key.collection, "_id": each.key.id}
        return {
            "do": each.verb,
            **named,
            "changes": _shortened(each.changes),
            "secrets": each.secrets,
        }

    return {
        "plan": [step(each) for each in plan.steps],
        "done": len(done),
        "unchanged": plan.unchanged,
        "held": [
            {"collection": each.key.collection, "_id": each.key.id, "why": each.why}
            for each in plan.held
        ],
    }


def _shortened(changes: "Mapping[str, list[Any]]") -> dict[str, Any]:
    """The changes, a source as the first digits of its version."""
    return {
        name: [value and str(value)[:SOURCE_SHOWN] for value in pair] if name == "source" else pair
        for name, pair in changes.items()
    }


def _name(step: "Step") -> str:
    return f"{step.key.collection} {clean(step.key.id, 250)}"
