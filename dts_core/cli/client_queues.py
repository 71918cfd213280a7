"""`dts queues list|pause|resume` and `dts dead list|show|send-again|discard`."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from dts_core.cli.client_common import (
    Where,
    age,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.plain import queues as plain
from dts_core.plain import words
from dts_core.text import clean, clean_lines

if TYPE_CHECKING:
    from dts_core.clients import SyncAdminClient
    from dts_core.views import DeadLettersDone, QueueChange, QueueList

RATE_SECONDS: Final = 1.6
"""Between two looks at the queues, when nobody has looked lately and there are no rates yet."""
QUEUE_COLUMNS: Final = (
    "QUEUE", "READY", "UNACKED", "OLDEST", "IN/S", "OUT/S", "DONE/S", "CONSUMERS", "DEAD", "STATE",
)  # fmt: skip
DISCARD_ROUNDS: Final = 1_000


@click.group()
def queues() -> None:
    """Queues: what waits in them, and pausing them."""


@queues.command("list")
@server_options
def list_(where: Where) -> None:
    """List every queue with its figures and rates."""
    with where.client() as client:
        found = client.queues() if where.as_json else _with_rates(client)
    if where.as_json:
        print_json(found)
        return
    now = datetime.now(UTC)
    rows = [
        (
            each.name,
            words.count(each.ready),
            plain.unacked(each),
            plain.oldest(each),
            plain.rate(each.published_rate),
            plain.rate(each.delivered_rate),
            plain.rate(each.acked_rate),
            each.consumers,
            words.count(each.dead),
            plain.state(each, now),
        )
        for each in found.items
    ]
    print_table(QUEUE_COLUMNS, rows)
    if any(each.partial for each in found.items):
        click.echo(plain.NOT_TOLD)


def _with_rates(client: "SyncAdminClient") -> "QueueList":
    found = client.queues()
    if any(each.published_rate is None and not each.partial for each in found.items):
        time.sleep(RATE_SECONDS)
        found = client.queues()
    return found


@queues.command()
@click.argument("names", metavar="QUEUE...", nargs=-1, required=True)
@server_options
def pause(where: Where, names: tuple[str, ...]) -> None:
    """Have queues of jobs hand nothing out until they are resumed; what runs goes on.

    \b
    Example:
      dts queues pause jobs.default
    """  # noqa: D301 - below \b click keeps the lines
    with where.client() as client:
        _switch(where, names, client.pause_queue)


@queues.command()
@click.argument("names", metavar="QUEUE...", nargs=-1, required=True)
@server_options
def resume(where: Where, names: tuple[str, ...]) -> None:
    """Have paused queues hand out again."""
    with where.client() as client:
        _switch(where, names, client.resume_queue)


def _switch(where: Where, names: tuple[str, ...], act: Callable[[str], "QueueChange"]) -> None:
    done = []
    for name in names:
        change = act(name)
        done.append(change)
        if not where.as_json:
            how = "paused" if change.paused else "open"
            print_line(
                f"{clean(change.name, 120)} {'is' if change.changed else 'was already'} {how}"
            )
    if where.as_json:
        print_json(done)


@click.group()
def dead() -> None:
    """Dead letters: messages that were given up."""


@dead.command("list")
@click.option("--queue", default="", help="Only those that came from this queue.")
@click.option("--before", default=0, type=click.IntRange(0), help="Only numbers below this one.")
@click.option("-n", "--limit", default=50, type=click.IntRange(1, 500), help="How many at most.")
@server_options
def list_dead(where: Where, queue: str, before: int, limit: int) -> None:
    """List dead letters, the newest first."""
    with where.client() as client:
        page = client.dead_letters(queue=queue, before=before, limit=limit)
    if where.as_json:
        print_json(page)
        return
    rows = [
        (
            each.seq,
            each.queue,
            age(each.died),
            each.type,
            each.message_id,
            words.size(each.size),
            each.reason,
        )
        for each in page.items
    ]
    print_table(("NUMBER", "QUEUE", "AGE", "TYPE", "MESSAGE", "SIZE", "REASON"), rows)


@dead.command()
@click.argument("seq", metavar="NUMBER", type=click.IntRange(1))
@server_options
def show(where: Where, seq: int) -> None:
    """Show a dead letter with its body."""
    with where.client() as client:
        found = client.dead_letter(seq)
    if where.as_json:
        print_json(found)
        return
    for name, value in plain.dead_facts(found):
        print_line(f"{name:<17}{clean(value, 2000)}")
    print_line()
    print_line(clean_lines(found.body))
    if found.truncated:
        print_line(f"... of {words.size(found.size)}")


@dead.command("send-again")
@click.argument("seqs", metavar="NUMBER...", nargs=-1, required=True, type=click.IntRange(1))
@server_options
def send_again(where: Where, seqs: tuple[int, ...]) -> None:
    """Put dead letters back into the queues they came from.

    A job's message is dropped again when its job is over: use `dts again ID` for that.
    """
    with where.client() as client:
        _tell(where, client.send_dead_again(seqs), "sent again")


@dead.command()
@click.argument("seqs", metavar="[NUMBER...]", nargs=-1, type=click.IntRange(1))
@click.option("--queue", default="", help="All that came from this queue.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_options
def discard(where: Where, seqs: tuple[int, ...], queue: str, yes: bool) -> None:
    """Throw dead letters away for good; asks first.

    \b
    Examples:
      dts dead discard 17 18
      dts dead discard --queue results --yes
    """  # noqa: D301 - below \b click keeps the lines
    if bool(seqs) == bool(queue):
        raise click.UsageError("say which: NUMBER..., or --queue NAME.")
    if not yes:
        what = (
            f"all dead letters of {clean(queue, 120)}"
            if queue
            else words.plural(len(seqs), "dead letter")
        )
        click.confirm(f"Throw away {what} for good?", abort=True, err=True)
    with where.client() as client:
        done = client.discard_dead(queue=queue) if queue else client.discard_dead(seqs=seqs)
        for _ in range(DISCARD_ROUNDS if queue else 0):
            if not done.more:
                break
            following = client.discard_dead(queue=queue)
            done = type(done)(count=done.count + following.count, more=following.more)
    _tell(where, done, "discarded")


def _tell(where: Where, done: "DeadLettersDone", what: str) -> None:
    if where.as_json:
        print_json(done)
    else:
        print_line(f"{words.plural(done.count, 'dead letter')} {what}")
