"""`dts admin functions`: as documents, with the canary of each, and deploys."""

from typing import TYPE_CHECKING, Any, Final

import click

from dts_core.cli.admin_canary import canary
from dts_core.cli.admin_documents import functions
from dts_core.cli.client_common import (
    Where,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.cli.client_versions import SHORT, named_version
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.views import JobView

__all__ = ["functions"]

SPARE_SECONDS: Final = 30.0
"""How much longer the command waits than the job does."""

functions.add_command(canary)


@functions.command()
@click.argument("function", metavar="NS/NAME")
@click.option("--host", "hosts", multiple=True, metavar="HOST", help="Only this one; repeatable.")
@click.option("--version", default="", metavar="VERSION", help="In place of the default one.")
@click.option(
    "--timeout", "seconds", default=60.0, show_default=True, metavar="SECONDS",
    type=click.FloatRange(0, 600, min_open=True), help="How long hosts have to answer.",
)  # fmt: skip
@click.option("--no-wait", is_flag=True, help="Print the id of the job, and do not wait for it.")
@server_options
def deploy(
    where: Where,
    function: str,
    hosts: tuple[str, ...],
    version: str,
    seconds: float,
    no_wait: bool,
) -> int:
    """Have every live worker fetch a version and try to import it, ahead of its first job.

    A job of dts/deploy does it: `dts logs`, `dts cancel` and the console treat it as any other. Exit status 1: some
    host does not have it.

    \b
    Examples:
      dts admin functions deploy etl/load
      dts admin functions deploy etl/load --version 3f9a --host lab1 --host lab2
    """  # noqa: D301 - below \b click keeps the lines
    with where.client() as client:
        chosen = named_version(client.functions.get(function), version).hash if version else ""
        job = client.functions.deploy(
            function, hosts=hosts or None, version=chosen, wait_seconds=seconds
        )
        if not no_wait:
            job = client.wait_for(job.id, timeout_seconds=seconds + SPARE_SECONDS)
    if where.as_json:
        print_json(job)
    elif no_wait:
        print_line(clean(job.id, 40))
    else:
        _print(job)
    result = job.result if isinstance(job.result, dict) else {}
    whole = job.state == "done" and not result.get("failed") and not result.get("silent")
    return 0 if no_wait or whole else 1


def _print(job: "JobView") -> None:
    result: dict[str, Any] = job.result if isinstance(job.result, dict) else {}
    if not result:
        why = "" if job.error is None else f": {job.error.message}"
        print_line(clean(f"job {job.id} is {job.state}{why}", 1_000))
        return
    rows = [
        (host, name, worker["state"], worker["runs"][:SHORT], worker["why"] or report["why"])
        for host, report in result["hosts"].items()
        for name, worker in (report["workers"] or {"": _nobody(report)}).items()
    ]
    print_table(("HOST", "WORKER", "STATE", "RUNS", "WHY"), rows)
    ready, total = len(result["ready"]), len(result["hosts"])
    story = f"version {result['version'][:SHORT]} of {result['function']}"
    print_line(clean(f"{story} is ready on {ready} of {total} hosts", 400))


def _nobody(report: dict[str, Any]) -> dict[str, str]:
    return {"state": report["state"], "runs": "", "why": ""}
