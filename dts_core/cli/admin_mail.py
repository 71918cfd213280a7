"""`dts admin mail test`."""

from typing import TYPE_CHECKING, Any, Final

import click

from dts_core.cli.client_common import Where, print_json, print_line, server_options
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.views import JobView

WAIT_SECONDS: Final = 120.0


@click.group()
def mail() -> None:
    """Mail to groups of users."""


@mail.command()
@click.option(
    "--group", default="administrators", show_default=True, metavar="NAME", help="Whom to mail."
)
@server_options
def test(where: Where, group: str) -> int:
    """Mail a group a test, and say what became of it for each of its users.

    Exit status 1: somebody did not get it.

    \b
    Examples:
      dts admin mail test
      dts admin mail test --group night
    """  # noqa: D301 - below \b click keeps the lines
    with where.client() as client:
        asked = client.mail.test(group)
        job = client.wait_for(asked.job, timeout_seconds=WAIT_SECONDS)
    result: dict[str, Any] = job.result if isinstance(job.result, dict) else {}
    if where.as_json:
        print_json(job)
    else:
        _print(job, result)
    whole = bool(result.get("sent")) and not result.get("refused") and not result.get("later")
    return 0 if whole else 1


def _print(job: "JobView", result: dict[str, Any]) -> None:
    for user in result.get("sent", []):
        print_line(f"sent     {clean(str(user), 120)}")
    for user, why in result.get("refused", {}).items():
        print_line(f"refused  {clean(str(user), 120)}: {clean(str(why), 400)}")
    for user in result.get("later", []):
        print_line(f"later    {clean(str(user), 120)}, by job {clean(str(result.get('rest')), 40)}")
    if note := result.get("note"):
        print_line(f"{clean(str(note), 400)}: see `dts admin users list`")
    if job.error is not None:
        print_line(clean(job.error.message, 1_000))
    elif not result:
        print_line(f"job {clean(job.id, 40)} is {clean(job.state, 20)}: see `dts job {job.id}`")
