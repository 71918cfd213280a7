"""`dts submit`, `jobs`, `job`, `cancel`, `again`, `me`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dts_core.cli.admin_output import read_secret_file
from dts_core.cli.client_common import (
    Where,
    age,
    print_json,
    print_line,
    print_table,
    server_options,
    state_text,
)
from dts_core.plain import words
from dts_core.text import clean, clean_lines

if TYPE_CHECKING:
    from dts_core.views import JobView


def json_value(text: str, what: str) -> Any:
    """The value of an option. Raises UsageError when it is no JSON."""
    import msgspec

    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise click.UsageError(
            f"{what} {clean(text, 60)!r} is not JSON ({error}); text needs quotes: '\"like this\"'."
        ) from error


def keywords(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Named arguments from NAME=JSON. Raises UsageError for what is none."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--kw {clean(pair, 60)!r} must be NAME=JSON.")
        if name in found:
            raise click.UsageError(f"--kw {clean(name, 60)} is given twice.")
        found[name] = json_value(value, f"--kw {name}")
    return found


def _secrets(wanted: tuple[str, ...], *, given: tuple[str, ...]) -> dict[str, str]:
    """Texts of files, without the newline at their end, or typed unseen: the command line shows them to everybody."""
    found: dict[str, str] = {}
    taken = {pair.partition("=")[0] for pair in given}
    for each in wanted:
        name, _, file = each.partition("=")
        if not name or name in found or name in taken:
            raise click.UsageError(f"--secret {clean(name, 60)!r} is no name, or is given twice.")
        if file:
            found[name] = read_secret_file(Path(file)).rstrip("\r\n")
        else:
            found[name] = click.prompt(clean(name, 60), hide_input=True, err=True)
    return found


@click.command()
@click.argument("function", metavar="NS/NAME")
@click.option(
    "--arg", "args", multiple=True, metavar="JSON", help="A positional argument; repeat it."
)
@click.option(
    "--kw", "kwargs", multiple=True, metavar="K=JSON", help="A keyword argument; repeat it."
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="K[=FILE]",
    help="A secret text as keyword argument: of a file, else asked for; repeat it.",
)
@click.option("--wait", is_flag=True, help="Wait for the end and print the result.")
@click.option("--version", default="", metavar="HASH", help="A version other than the default.")
@click.option("--queue", default="", help="A queue other than `default`.")
@click.option("--host", default="", help="Only on this host.")
@click.option("--priority", default=0, type=click.IntRange(0, 9), help="0..9, higher first.")
@click.option(
    "--timeout", "timeout_seconds", default=0.0, help="Longest run of an attempt, seconds."
)
@click.option("--retries", default=0, help="How many failed attempts are tried again.")
@click.option(
    "--delay", "delay_seconds", default=0.0, help="Start at the earliest in so many seconds."
)
@click.option(
    "--expires", "expires_seconds", default=0.0, help="Not started in so many seconds: expired."
)
@click.option("--key", default="", help="Idempotency key: the same key submits once.")
@server_options
def submit(
    where: Where,
    function: str,
    args: tuple[str, ...],
    kwargs: tuple[str, ...],
    secrets: tuple[str, ...],
    wait: bool,
    key: str,
    **options: Any,
) -> None:
    """Submit a job. With --wait the exit status tells whether it is done (0) or not (1).

    \b
    Examples:
      dts submit sample/steps --kw count=5 --wait
      dts submit sample/wordcount --arg '"/etc/hosts"' --wait
      dts submit sample/fail --retries 2 --timeout 30
      dts submit ops/login --arg '"db-1"' --secret password
    """  # noqa: D301 - below \b click keeps the lines
    positional = [json_value(text, "--arg") for text in args]
    named = keywords(kwargs) | _secrets(secrets, given=kwargs)
    with where.client() as client:
        job = client.submit(function, args=positional, kwargs=named, key=key, **options)
        if wait:
            job = client.wait_for(job.id)
    _show(where, job)
    if wait and job.state != "done":
        sys.exit(1)


def _show(where: Where, job: "JobView") -> None:
    if where.as_json:
        print_json(job)
        return
    import msgspec

    print_line(f"{state_text(job.state)}  {clean(job.function)}  {clean(job.id)}")
    rows = [("submitted by", f"{job.submitter}, {age(job.created_at)} ago")]
    if job.host:
        rows.append(("ran on", f"{job.host}, attempt {job.attempt}"))
    if job.started_at and job.finished_at:
        rows.append(("took", words.duration((job.finished_at - job.started_at).total_seconds())))
    if job.state == "running" and job.progress:
        rows.append(("progress", f"{job.progress:.0%} {job.progress_text}"))
    if job.reason:
        rows.append(("why", job.reason))
    for name, value in rows:
        print_line(f"  {name:<13}{clean(value)}")
    if job.error is not None:
        print_line(f"  {'error':<13}{clean(job.error.type)}: {clean(job.error.message)}")
        if job.error.traceback:
            print_line(clean_lines(job.error.traceback))
    if job.state == "done":
        text = msgspec.json.format(msgspec.json.encode(job.result), indent=2).decode()
        print_line(clean_lines(text))


@click.command()
@click.option("--state", default="", metavar="STATE[,STATE]", help="Only in these states.")
@click.option("--function", default="", metavar="NS/NAME", help="Only of this function.")
@click.option("--namespace", default="", help="Only of this namespace.")
@click.option("--host", default="", help="Only on this host.")
@click.option("--submitter", default="", help="Only submitted by this user.")
@click.option("--text", default="", help="Only with this text in id, function, error or reason.")
@click.option("--limit", default=20, type=click.IntRange(1, 500), help="How many, newest first.")
@click.option("--cursor", default="", help="Go on where a page ended.")
@server_options
def jobs(where: Where, **filters: Any) -> None:
    """List jobs, newest first.

    \b
    Examples:
      dts jobs --state failed,dead
      dts jobs --function sample/steps --limit 5 --json
    """  # noqa: D301 - below \b click keeps the lines
    with where.client() as client:
        page = client.jobs(**filters)
    if where.as_json:
        print_json(page)
        return
    rows = [
        (
            state_text(job.state),
            job.function,
            job.id,
            job.host or "-",
            job.submitter,
            age(job.created_at),
        )
        for job in page.items
    ]
    print_table(("STATE", "FUNCTION", "ID", "HOST", "BY", "AGE"), rows)
    if page.next:
        print_line(f"more: --cursor {page.next}")


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Wait for the end.")
@server_options
def job(where: Where, job_id: str, wait: bool) -> None:
    """Show one job with its result or error."""
    with where.client() as client:
        found = client.wait_for(job_id) if wait else client.job(job_id)
    _show(where, found)


@click.command()
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@server_options
def cancel(where: Where, job_ids: tuple[str, ...]) -> None:
    """Stop jobs: queued ones never run, running ones are told to end and then made to."""
    with where.client() as client:
        answer = client.cancel(job_ids)
    if where.as_json:
        print_json(answer)
    else:
        rows = [(state_text(item.state), item.id, item.detail) for item in answer.items]
        print_table(("STATE", "ID", ""), rows)
    if not all(item.applied for item in answer.items):
        sys.exit(1)


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--newest", is_flag=True, help="With the function's default version of now.")
@server_options
def again(where: Where, job_id: str, newest: bool) -> None:
    """Run a job again, with the same arguments."""
    with where.client() as client:
        made = client.again(job_id, version="default" if newest else "same")
    _show(where, made)


@click.command()
@server_options
def me(where: Where) -> None:
    """Who you are to the server, and what you submitted."""
    with where.client() as client:
        session = client.session()
    if where.as_json:
        print_json(session)
        return
    print_line(f"{clean(session.user)}, {clean(session.role)}")
    print_line("  ".join(f"{state_text(state)} {count}" for state, count in session.counts.items()))
    rows = [
        (state_text(job.state), job.function, job.id, age(job.created_at)) for job in session.recent
    ]
    print_table(("STATE", "FUNCTION", "ID", "AGE"), rows)
