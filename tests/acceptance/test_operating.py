"""Operating by commands: pauses, drains and dead letters of a real stack, over its restart."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from dts_core.brokers.base import Message
from dts_core.brokers.embedded import journal
from dts_core.places import DATA_FILE
from tests.acceptance.test_commands import Shell
from tests.support.processes import eventually, up

pytestmark = pytest.mark.serial
HOSTILE = "\x1b]0;owned\x07\u202e"


def lay_dead(data: Path, queue: str, count: int) -> None:
    """Dead letters in the file of a stack that is stopped."""
    message = journal.pack(Message(f"no {HOSTILE} message".encode(), HOSTILE, "m1"))
    with sqlite3.connect(data / DATA_FILE) as connection:
        connection.executemany(
            "INSERT INTO dead_letters(queue, died, reason, message) VALUES(?, ?, ?, ?)",
            [(queue, 1_700_000_000_000_000, f"because {HOSTILE}", message)] * count,
        )
    connection.close()


def items(shell: Shell, *arguments: str) -> dict[str, dict[str, Any]]:
    found: Any = shell.json(*arguments)["items"]
    return {str(each["name"]): each for each in found}


@pytest.mark.slow
def test_pauses_and_drains_last_and_dead_letters_are_dealt_with(tmp_path: Path) -> None:
    """A paused queue and a drained host stay so over a restart; exit codes and --json are those of all commands."""
    with up(tmp_path) as stack:
        stack.client().close()
        shell = Shell(stack, tmp_path)
        assert "jobs.default is paused" in shell("queues", "pause", "jobs.default").stdout
        again = json.loads(shell("queues", "pause", "default", "--json").stdout)
        assert again == [{"name": "jobs.default", "paused": True, "changed": False}]
        assert "no queue of jobs" in shell("queues", "pause", "results", status=1).stderr
        assert "no queue" in shell("queues", "resume", "nothing", status=1).stderr
        shell("queues", "pause", status=2)
        host = eventually(lambda: next(iter(items(shell, "hosts", "list")), ""))
        assert "told to drain" in shell("hosts", "drain", host).stdout
        assert "no host" in shell("hosts", "drain", "nobody", status=1).stderr
        job = str(shell.json("submit", "sample/noop")["id"])
    lay_dead(stack.data, "results", 3)
    lay_dead(stack.data, "jobs.default", 1)
    with up(tmp_path) as stack:
        stack.client().close()
        shell = Shell(stack, tmp_path)
        shown = items(shell, "queues", "list")
        assert (shown["jobs.default"]["paused"], shown["jobs.default"]["ready"]) == (True, 1)
        assert "paused" in shell("queues", "list").stdout
        assert "paused" in shell("status").stdout
        eventually(lambda: items(shell, "hosts", "list")[host]["beat"]["draining"])
        listed = shell("dead", "list").stdout
        assert "\\x1b]0;owned" in listed
        assert "\x1b" not in listed
        detail = shell("dead", "show", "1").stdout
        assert "because" in detail
        assert not set(detail) & set(HOSTILE.replace("]0;owned", ""))
        shell("dead", "show", "99", status=1)
        assert shell.json("dead", "send-again", "4", "99") == {"count": 1, "more": False}
        shell("dead", "discard", status=2)
        shell("dead", "discard", "1", "--queue", "results", status=2)
        assert shell.json("dead", "discard", "1", "--yes")["count"] == 1
        assert "2 dead letters" in shell("dead", "discard", "--queue", "results", "--yes").stdout
        assert shell.json("dead", "list")["items"] == []
        shell("hosts", "undrain", host)
        shell("queues", "resume", "jobs.default")
        eventually(lambda: shell.json("job", job)["state"] == "done")


def test_nothing_is_discarded_without_a_yes(tmp_path: Path) -> None:
    """Asked without a terminal, `dts dead discard` does nothing and is no success."""
    with up(tmp_path) as stack:
        stack.client().close()
    lay_dead(stack.data, "results", 1)
    with up(tmp_path) as stack:
        stack.client().close()
        shell = Shell(stack, tmp_path)
        shell("dead", "discard", "1", status=130)
        found: Any = shell.json("dead", "list")["items"]
        assert len(found) == 1
