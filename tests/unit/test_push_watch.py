"""`dts functions push --watch`: one push for a burst, what it says, and what it does about trouble."""

import os
from pathlib import Path

import pytest

from dts_core.bundles import modules_of
from dts_core.cli.client_push import RETRY_LOOKS, Watcher
from dts_core.errors import ApiError, ServerUnreachable
from dts_core.views import Written


class Desk:
    """Takes pushes, as a server does; `trouble` answers instead."""

    def __init__(self, path: Path) -> None:
        self.pushed: list[dict[str, str]] = []
        self.said: list[str] = []
        self.trouble: list[Exception] = []
        self.watcher = Watcher(path, self.push, lambda text, _: self.said.append(text))

    def push(self, source: str) -> Written:
        if self.trouble:
            raise self.trouble.pop(0)
        self.pushed.append(modules_of(source))
        operation = "create" if len(self.pushed) == 1 else "update"
        version = f"{len(self.pushed):064}"
        return Written(operation=operation, id="a/b", revision=1, version=version)

    def look(self, times: int = 3) -> None:
        for _ in range(times):
            self.watcher.look()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "report"
    made.mkdir()
    (made / "main.py").write_text("def main(): return 1\n")
    (made / "util.py").write_text("X = 1\n")
    return made


def save(file: Path, text: str) -> None:
    """Save it, as an editor does; no two saves have one time, whatever the file system's clock."""
    saves = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text)
    os.utime(file, ns=(saves + 1_000_000, saves + 1_000_000))


def test_a_burst_is_one_push(folder: Path) -> None:
    """As long as something changes from one look to the next, nothing is pushed; then all of it at once."""
    desk = Desk(folder)
    desk.look()
    assert len(desk.pushed) == 1
    for text in ("X = 2\n", "X = 3\n", "X = 4\n"):
        save(folder / "util.py", text)
        save(folder / f"new_{len(text)}{text[4]}.py", "")
        desk.look(1)
    assert len(desk.pushed) == 1
    desk.look(5)
    assert len(desk.pushed) == 2
    assert desk.pushed[1]["util.py"] == "X = 4\n"
    assert desk.said == [
        "new main.py, util.py: version 000000000000 is created",
        "new new_62.py, new_63.py, new_64.py; changed util.py: version 000000000000 is live",
    ]


def test_what_did_not_change_is_not_pushed(folder: Path) -> None:
    """A file that is saved as it was, or is no module, is no change."""
    desk = Desk(folder)
    desk.look()
    save(folder / "util.py", "X = 1\n")
    (folder / "notes.txt").write_text("no module")
    desk.look(5)
    assert len(desk.pushed) == 1
    (folder / "util.py").unlink()
    desk.look()
    assert desk.said[1].startswith("gone util.py: ")


def test_a_refusal_is_told_and_the_loop_goes_on(folder: Path) -> None:
    """Once, with the line; the next save is pushed again."""
    desk = Desk(folder)
    desk.look()
    refused = ApiError("util.py is not Python: line 1: invalid syntax.", answer_status=422)
    desk.trouble.append(refused)
    save(folder / "util.py", "X =\n")
    desk.look(5)
    assert desk.said[1:] == ["not pushed: util.py is not Python: line 1: invalid syntax."]
    (folder / "link.py").symlink_to(folder / "util.py")
    desk.look(5)
    assert desk.said[2].startswith("not pushed: ")
    assert "link.py: is a symbolic link" in desk.said[2]
    (folder / "link.py").unlink()
    save(folder / "util.py", "X = 5\n")
    desk.look(5)
    assert desk.said[3].startswith("changed util.py: ")


def test_a_server_that_is_away_is_tried_again(folder: Path) -> None:
    """Told once; what was saved meanwhile is there when it answers."""
    desk = Desk(folder)
    desk.look()
    desk.trouble += [ServerUnreachable("no server."), ServerUnreachable("no server.")]
    save(folder / "util.py", "X = 2\n")
    desk.look(4 * RETRY_LOOKS)
    assert desk.said[1:] == [
        "not pushed yet: no server. It is tried again.",
        "changed util.py: version 000000000000 is live",
    ]
    assert desk.pushed[1]["util.py"] == "X = 2\n"


def test_a_single_file_is_watched_too(tmp_path: Path) -> None:
    """It is told by its name; one that is gone for a moment, as editors do, is not the end."""
    file = tmp_path / "one.py"
    file.write_text("def main(): return 1\n")
    desk = Desk(file)
    desk.look()
    file.unlink()
    desk.look()
    save(file, "def main(): return 2\n")
    desk.look()
    assert desk.said[0].startswith("new one.py: ")
    assert "cannot be read" in desk.said[1]
    assert desk.said[2].startswith("changed one.py: ")
