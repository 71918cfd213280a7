"""What is done on many hosts reached by SSH, as entries of the catalogue."""

from functools import partial
from typing import Final

from dts_tui.entries import ADMIN, Action

_again = partial(Action, scopes=("board",), permission=ADMIN)


def _again_on(name: str, keys: tuple[str, ...], title: str, told: str, footer: int = 0) -> Action:
    """Run the same again on hosts that ended in one way; `name` ends in the state."""
    which = {"unstarted": "never_started", "timed-out": "timed_out"}.get(name, name)
    return _again(
        f"again-{name}",
        keys,
        title,
        f"Run it again on exactly the hosts that {told}; names them, and asks first.",
        footer=footer,
        command=f"dts ssh --again {{id}} --which {which}",
        request=f'POST /ssh/{{id}}/again {{{{"which": "{which}"}}}}',
    )


FANNING_OUT: Final[tuple[Action, ...]] = (
    Action(
        "run-on-hosts",
        ("s",),
        "run on hosts",
        "A command or a function on the marked hosts, or all that fit the filter, or the one under the cursor.",
        scopes=("documents", "document"),
        permission=ADMIN,
        footer=25,
        command="dts ssh {hosts_word} -- COMMAND",
        request='POST /ssh {{"hosts": {hosts_json}, "argv": ["COMMAND"]}}',
    ),
    Action(
        "shell",
        ("!",),
        "shell",
        "A shell on the host, in this terminal; the console steps aside for it. Enter ~ . leaves it.",
        scopes=("documents", "document", "board", "host-output", "hosts", "host"),
        changes=True,
        footer=48,
        command="dts ssh --tty {shell_word}",
        request="GET /ssh/shells/{shell_path} (a WebSocket)",
    ),
    Action(
        "send-to-hosts",
        ("ctrl+s",),
        "run",
        "Check the form, show which hosts are meant, and ask.",
        scopes=("host-call",),
        permission=ADMIN,
        footer=5,
        typing=True,
        command="dts ssh {hosts_word} {call_word}",
        request="POST /ssh {body}",
    ),
    _again(
        "again-group",
        ("R",),
        "again here",
        "Run it again on exactly the hosts of the group under the cursor; names them, and asks first.",
        footer=20,
        command="dts ssh --again {id} --which group --digest {digest}",
        request='POST /ssh/{id}/again {{"which": "group", "digest": "{digest}"}}',
    ),
    _again_on("failed", ("F",), "again failed", "failed", 22),
    _again_on("unreachable", ("U",), "again unreachable", "could not be reached", 61),
    _again_on("unstarted", ("N",), "again unstarted", "never started", 62),
    _again_on("timed-out", ("T",), "again timed out", "had no time left", 63),
    _again_on("cancelled", ("A",), "again cancelled", "were cancelled", 64),
    Action(
        "answer",
        ("a",),
        "answer",
        "What a login asks whoever started it: a password, a code, a passphrase; esc there refuses it.",
        scopes=("board", "setup"),
        permission=ADMIN,
        footer=21,
        request='POST /ssh/{id}/questions/QUESTION {{"box": "SEALED"}}',
    ),
    Action(
        "majority",
        ("=",),
        "diff",
        "What the group under the cursor printed otherwise than most hosts.",
        scopes=("board",),
        footer=30,
        request="GET /ssh/{id}/hosts/{host}/output",
    ),
    Action(
        "earlier",
        ("e",),
        "earlier run",
        "What became of each host in an earlier run, and what differs now.",
        scopes=("board",),
        footer=32,
        request="GET /ssh/{id}/hosts",
    ),
)
