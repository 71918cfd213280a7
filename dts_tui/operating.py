"""What an operator does with queues, dead letters and hosts, as entries of the catalogue."""

from functools import partial
from typing import Final

from dts_tui.entries import OPERATE, Action

_on_queue = partial(Action, scopes=("queues",), permission=OPERATE)
_on_letters = partial(Action, scopes=("dead",), permission=OPERATE)

OPERATING: Final[tuple[Action, ...]] = (
    _on_queue(
        "pause-queue",
        ("P",),
        "pause/resume",
        "Have the queue hand nothing out, or let it hand out again; asks first.",
        footer=20,
        command="dts queues {pause} {queue_word}",
        request="POST /queues/{queue}/{pause}",
    ),
    _on_queue(
        "dead-letters",
        ("l",),
        "dead letters",
        "The dead letters that came from this queue.",
        looks=True,
        footer=30,
        command="dts dead list --queue {queue_word}",
        request="GET /queues/dead-letters?queue={queue}",
    ),
    Action(
        "all-dead-letters",
        ("L",),
        "all dead letters",
        "The dead letters of every queue.",
        scopes=("queues", "dead", "wall"),
        permission=OPERATE,
        looks=True,
        anywhere=True,
        command="dts dead list",
        request="GET /queues/dead-letters",
    ),
    _on_queue(
        "discard-queue",
        ("D",),
        "discard dead",
        "Throw away all dead letters of the queue; its name has to be typed.",
        command="dts dead discard --queue {queue_word}",
        request='POST /queues/dead-letters/discard {{"queue": {queue_json}}}',
    ),
    Action(
        "parts",
        ("v",),
        "parts",
        "Every part that runs, with the state of its connections.",
        scopes=("queues",),
        anywhere=True,
        footer=50,
        command="dts status",
        request="GET /status",
    ),
    _on_letters(
        "send-again",
        ("R",),
        "send again",
        "Put the marked dead letters, or the one under the cursor, back into their queues; asks first.",
        footer=40,
        command="dts dead send-again {ids}",
        request='POST /queues/dead-letters/send-again {{"seqs": {ids_json}}}',
    ),
    _on_letters(
        "discard",
        ("D",),
        "discard",
        "Throw the marked dead letters away for good, or the one under the cursor; what it says has to be typed.",
        footer=45,
        command="dts dead discard {ids}",
        request='POST /queues/dead-letters/discard {{"seqs": {ids_json}}}',
    ),
    Action(
        "drain",
        ("T",),
        "drain/undrain",
        "Have the host take nothing new, or have it take jobs again; asks first.",
        scopes=("wall", "hosts", "host"),
        permission=OPERATE,
        footer=48,
        command="dts hosts {drain} {host}",
        request="POST /hosts/{host}/{drain}",
    ),
)
