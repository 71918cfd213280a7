"""Pausing queues, dead letters and draining hosts: asked and done the same way wherever they are shown."""

from collections.abc import Callable, Sequence

from dts_core.model import Host
from dts_core.plain import words
from dts_core.text import clean
from dts_core.views import (
    DeadLettersDone,
    DeadLetterView,
    DrainChange,
    QueueChange,
    QueueView,
)
from dts_tui.screens.base import View
from dts_tui.widgets.confirm import Confirm

JOBS = "jobs."
TYPED_MOST = 50
"""Longest name that has to be typed; for a longer one, or one that no keyboard has, the number of letters."""
SEND_MAX = 500
"""Most dead letters of one request."""


def ask_pause(view: View, queue: QueueView) -> None:
    """Ask before a queue hands nothing out any more, or hands out again."""
    console = view.console
    if not queue.name.startswith(JOBS):
        console.notice(f"{queue.name} is no queue of jobs: the control side needs it open", "warn")
        return

    def done(change: QueueChange) -> None:
        how = "paused" if change.paused else "open"
        console.notice(f"{change.name} {'is' if change.changed else 'was already'} {how}")
        console.feed.wake()

    def send() -> None:
        name = queue.name
        view.ask(
            "pause",
            lambda client: client.resume_queue(name) if queue.paused else client.pause_queue(name),
            done,
            writes=True,
        )

    out = "" if queue.partial else f", {words.count(queue.unacked)} out"
    waiting = f"{words.plural(queue.ready, 'job')} waiting{out}."
    question = (
        f"Let this queue hand out jobs again? {waiting}"
        if queue.paused
        else f"Pause this queue? {waiting} What runs goes on; nothing new starts until it is resumed."
    )
    yes = "Resume the queue" if queue.paused else "Pause the queue"
    console.open_overlay(Confirm(question, [clean(queue.name, 200)], yes, send))


def ask_drain(view: View, host: Host | None) -> None:
    """Ask before a host takes nothing new, or takes jobs again."""
    console = view.console
    if host is None:
        console.notice("no host here", "warn")
        return
    on, name = not host.beat.draining, host.name

    def done(change: DrainChange) -> None:
        console.notice(f"{change.host} is told to {'drain' if change.draining else 'take jobs'}")
        console.feed.wake()

    def send() -> None:
        view.ask(
            "drain",
            lambda client: client.drain_host(name) if on else client.undrain_host(name),
            done,
            writes=True,
        )

    running = words.plural(host.beat.running, "running job")
    rest = f"{running} may finish" if host.beat.running else "nothing runs there"
    question = (
        f"Drain this host? It takes nothing new until it is told to; {rest}."
        if on
        else "Have this host take jobs again?"
    )
    console.open_overlay(
        Confirm(question, [name], "Drain the host" if on else "Take jobs again", send)
    )


def letter_name(letter: DeadLetterView) -> str:
    """One dead letter in a line."""
    said = " ".join(filter(None, (letter.type, letter.message_id)))
    return clean(f"{letter.seq}  {letter.queue}  {said}  {letter.reason}", 200)


def ask_send_again(
    view: View, letters: Sequence[DeadLetterView], gone: Callable[[list[int]], None]
) -> None:
    """Ask before dead letters go back into the queues they came from; `gone` hears which ones went."""
    chosen = list(letters)[:SEND_MAX]
    if not chosen:
        return
    seqs = [each.seq for each in chosen]

    def done(answer: DeadLettersDone) -> None:
        view.console.notice(f"{words.plural(answer.count, 'dead letter')} sent again")
        if answer.count == len(seqs):
            gone(seqs)
        view.console.feed.wake()
        view.refresh_data()

    def send() -> None:
        view.ask("again", lambda client: client.send_dead_again(seqs), done, writes=True)

    question = f"Send {words.plural(len(chosen), 'dead letter')} again, to the queue it came from?"
    if len(chosen) > 1:
        question = f"Send {len(chosen)} dead letters again, each to the queue it came from?"
    question += " The message of a job that is over is dropped: run such a job again in Jobs."
    names = [letter_name(each) for each in chosen]
    view.console.open_overlay(Confirm(question, names, "Send again", send))


def ask_discard(
    view: View, letters: Sequence[DeadLetterView], gone: Callable[[list[int]], None]
) -> None:
    """Ask before dead letters are thrown away; the number, or how many, has to be typed. `gone`: which ones went."""
    chosen = list(letters)[:SEND_MAX]
    if not chosen:
        return
    seqs = [each.seq for each in chosen]

    def done(answer: DeadLettersDone) -> None:
        gone(seqs)
        _discarded(view, answer)

    def send() -> None:
        view.ask(
            "discard",
            lambda client: client.discard_dead(seqs=seqs),
            done,
            writes=True,
        )

    typed = str(seqs[0]) if len(seqs) == 1 else f"discard {len(seqs)}"
    which = words.plural(len(chosen), "dead letter")
    question = f"Throw {which} away for good? Nobody can read or send them again then."
    names = [letter_name(each) for each in chosen]
    view.console.open_overlay(Confirm(question, names, "Discard", send, typed=typed))


def ask_discard_queue(view: View, queue: QueueView) -> None:
    """Ask before all dead letters of a queue are thrown away; its name has to be typed."""
    if not queue.dead:
        view.console.notice(f"no dead letter came from {queue.name}", "warn")
        return
    name = queue.name

    def send() -> None:
        view.ask(
            "discard",
            lambda client: client.discard_dead(queue=name),
            lambda answer: _discarded(view, answer),
            writes=True,
        )

    question = f"Throw all {words.plural(queue.dead, 'dead letter')} of this queue away for good?"
    typed = name if _can_be_typed(name) else f"discard {queue.dead}"
    view.console.open_overlay(Confirm(question, [clean(name, 200)], "Discard", send, typed=typed))


def _can_be_typed(name: str) -> bool:
    return name.isascii() and name.isprintable() and len(name) <= TYPED_MOST


def _discarded(view: View, answer: DeadLettersDone) -> None:
    more = ", some are left: ask again" if answer.more else ""
    view.console.notice(
        f"{words.plural(answer.count, 'dead letter')} discarded{more}",
        "warn" if answer.more else "good",
    )
    view.console.feed.wake()
    view.refresh_data()
