"""`dts ssh`: a command or a function on many hosts reached by SSH."""

import sys
from typing import Any, Final

import click

from dts_core.cli.client_common import Where, server_options
from dts_core.cli.person_options import Part, person_options
from dts_core.text import clean

__all__ = ["ssh"]

_ARGV: Final = "dts.argv"
WHICH: Final = (
    "failed", "unreachable", "timed_out", "cancelled", "never_started", "not_ok", "group",
)  # fmt: skip


class _AfterDashes(click.Command):
    """Keeps what stands behind `--` apart, so that no word of a command is taken for one of ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take it off."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_ARGV] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


@click.command(cls=_AfterDashes)
@click.argument("words", metavar="[SELECTOR] -- COMMAND...", nargs=-1)
@click.option(
    "--hosts", "named", multiple=True, metavar="HOST,...", help="Further hosts; repeat it."
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Only hosts with it; repeat it.",
)
@click.option("--call", "function", default="", metavar="NS/NAME", help="Call a stored function.")
@click.option("--arg", "args", multiple=True, metavar="JSON", help="A positional argument.")
@click.option("--kw", "kwargs", multiple=True, metavar="K=JSON", help="A named argument.")
@click.option("--version", default="", metavar="HASH", help="A version other than the default.")
@click.option("--again", default="", metavar="JOB", help="The same again, on some of its hosts.")
@click.option("--which", type=click.Choice(WHICH), help="On which; with --again. [not_ok]")
@click.option("--group", default="", metavar="DIGEST", help="On those that gave this answer.")
@click.option(
    "--show", default="", metavar="JOB", help="Show a run; with --hosts one host's output."
)
@click.option("--batches", default="", metavar="N,N%,...", help="Sizes of batches, e.g. 1,10,50%.")
@click.option(
    "--at-once", type=click.IntRange(1, 1000), default=64, help="Most hosts at once. [64]"
)
@click.option(
    "--timeout", "host_seconds", default=600.0, metavar="SECONDS",
    type=click.FloatRange(0, 86_400, min_open=True), help="For one host. [600]",
)  # fmt: skip
@click.option(
    "--max-failures", "failures_max", type=click.IntRange(0), metavar="N",
    help="With more hosts that are not ok, nothing new is begun.",
)  # fmt: skip
@person_options()
@click.option(
    "--tty", is_flag=True, help="A shell on one host, in this terminal. Enter ~ . leaves."
)
@click.option(
    "--stream/--no-stream", default=None,
    help="Print the output as it comes, or grouped at the end. [of one host: as it comes]",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-wait", is_flag=True, help="Print the id of the job, and do not wait for it.")
@server_options
def ssh(
    where: Where,
    words: tuple[str, ...],
    yes: bool,
    no_wait: bool,
    show: str,
    tty: bool,
    **given: Any,
) -> int:
    """Run a command, or a function of the server, on many hosts reached by SSH.

    SELECTOR names virtual hosts: web-1, web-[1-20], web-*, several with commas. Which hosts are meant is shown before
    anything runs. Hosts with the same answer are shown together. Exit status 0: all ok; 1: some not; 2: wrong usage.

    \b
    Examples:
      dts ssh 'web-*' -- uptime
      dts ssh 'web-[1-20]' --batches 1,25% --max-failures 0 -- systemctl restart nginx
      dts ssh --label role=db --call ops/version
      dts ssh 'web-*' --stream -- tail -n 3 /var/log/nginx/error.log
      dts ssh --again JOB --which failed
      dts ssh --show JOB --hosts web-3
      dts ssh --tty web-3
    """  # noqa: D301 - below \b click keeps the lines
    from dts_core.cli.ssh_run import again, show_run, start

    ctx = click.get_current_context()
    assert ctx is not None
    selector, argv = _split(words, ctx.meta.get(_ARGV))
    hosts = [name for text in (*selector, *given.pop("named")) for name in _names(text)]
    if tty:
        return _shell(where, hosts, argv, given | {"show": show})
    choice = {name: given.pop(name) for name in ("again", "which", "group")}
    part = Part.taken(given, no_wait=no_wait)
    given["batches"] = [size.strip() for size in given["batches"].split(",") if size.strip()]
    if show:
        _alone("--show", argv, given["function"], choice["again"])
        return show_run(where, show, hosts)
    if choice["again"]:
        if part.login:
            raise click.UsageError("--again logs in as JOB did: --login is not taken with it.")
        _alone("--again", argv, given["function"], *hosts, *given["labels"])
        which = choice["which"] or ("group" if choice["group"] else "not_ok")
        return again(where, choice["again"], which, choice["group"], part, yes=yes, no_wait=no_wait)
    if choice["which"] or choice["group"]:
        raise click.UsageError("--which and --group go with --again JOB.")
    if bool(argv) == bool(given["function"]):
        raise click.UsageError("Give a command behind --, or --call NS/NAME.")
    if not hosts and not given["labels"]:
        raise click.UsageError("Name hosts, or --label.")
    _check_can_ask(where, yes)
    return start(where, hosts, argv, given, part, yes=yes, no_wait=no_wait)


def _shell(where: Where, hosts: list[str], argv: list[str], given: dict[str, Any]) -> int:
    from dts_core.cli.shell import run_shell

    others = ("function", "labels", "again", "show", "ask", "as_me", "login")
    if len(hosts) != 1 or argv or any(given[name] for name in others):
        raise click.UsageError("--tty takes one host and nothing else.")
    return run_shell(where, hosts[0])


def _split(words: tuple[str, ...], after: list[str] | None) -> tuple[list[str], list[str]]:
    """Selector and command; without `--` the first word is the selector."""
    if after is None:
        return list(words[:1]), list(words[1:])
    if len(words) > 1:
        raise click.UsageError(f"{clean(words[1], 60)!r} stands before --: join hosts with commas.")
    return list(words), after


def _names(text: str) -> list[str]:
    from dts_core.hostsets import split_names

    return split_names(text)


def _alone(option: str, *others: Any) -> None:
    if any(others):
        raise click.UsageError(f"{option} takes what was run from the job: give no more than that.")


def _check_can_ask(where: Where, yes: bool) -> None:
    if not yes and (where.as_json or not sys.stdin.isatty()):
        raise click.UsageError("Nobody can be asked here: add --yes.")
