"""Following files through everything that rotation, restarts and broken content do to them."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dts_core.model import LogRecord
from dts_core.testing import ManualClock
from dts_worker.agent import follower as follower_module
from dts_worker.agent.follower import Follower
from dts_worker.agent.offsets import OffsetFile
from dts_worker.agent.rate import Allowance


class Setting:
    """A folder of logs, and a follower of it that can be restarted."""

    def __init__(self, folder: Path, *, from_start: bool = False, glob: str = "*.log") -> None:
        self.folder = folder
        self.from_start = from_start
        self.glob = glob
        self.clock = ManualClock()
        self.sent: list[LogRecord] = []
        self.rate = 1e9
        self.level = 10
        self.follower = self._make()

    def _make(self) -> Follower:
        return Follower(
            [str(self.folder / self.glob)],
            self.level,
            allowance=Allowance(self.rate),
            offsets=OffsetFile(self.folder / "state" / "offsets.json"),
            scan_seconds=5,
            from_start=self.from_start,
            host="alpha",
            clock=self.clock,
        )

    def step(self, *, seconds: float = 0.5) -> bool:
        self.clock.advance(seconds)
        more = self.follower.step()
        self.drain()
        return more

    def drain(self) -> None:
        while self.follower.outbox:
            self.sent.append(self.follower.outbox.popleft())

    def settle(self) -> list[str]:
        """Look until nothing is left to be read, joined or awaited; returns all texts so far."""
        for _ in range(30):
            self.step(seconds=3)
        while self.step(seconds=3):
            pass
        return [record.text for record in self.sent]

    def restart(self, *, clean: bool = True) -> None:
        if clean:
            self.follower.save()
        self.follower.close()
        self.follower = self._make()

    def append(self, name: str, data: bytes) -> None:
        with (self.folder / name).open("ab") as file:
            file.write(data)


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    setting = Setting(tmp_path)
    yield setting
    setting.follower.close()


def test_only_what_comes_after_the_start_is_sent(setting: Setting) -> None:
    """A file that was there before is followed from its end, and never from the middle of a line."""
    setting.append("a.log", b"old\nhalf of a l")
    setting.step()
    setting.append("a.log", b"ine\nnew\n")
    assert setting.settle() == ["new"]


def test_from_start_sends_what_was_there(tmp_path: Path) -> None:
    """With `from_start` a file never seen before is read from its beginning."""
    setting = Setting(tmp_path, from_start=True)
    setting.append("a.log", b"old\n")
    assert setting.settle() == ["old"]


def test_a_file_that_appears_later_is_read_from_its_beginning(setting: Setting) -> None:
    """What is written while we watch is never skipped."""
    setting.step()
    setting.append("b.log", b"first\n")
    assert setting.settle() == ["first"]


def test_a_partial_line_waits_for_its_end(setting: Setting) -> None:
    """A line counts when its line feed has arrived."""
    setting.step()
    setting.append("a.log", b"one ")
    assert setting.settle() == []
    setting.append("a.log", b"two\n")
    assert setting.settle() == ["one two"]


def test_rename_and_create_loses_nothing(setting: Setting) -> None:
    """The old file is read to its end, also what is written to it after the rename."""
    setting.append("a.log", b"")
    setting.step()
    setting.append("a.log", b"1\n")
    setting.step()
    setting.append("a.log", b"2\n")
    (setting.folder / "a.log").rename(setting.folder / "a.old")
    setting.append("a.log", b"4\n")
    setting.step()
    setting.append("a.old", b"3\n")
    assert sorted(setting.settle()) == ["1", "2", "3", "4"]


def test_truncation_starts_over(setting: Setting) -> None:
    """A file that is emptied is read from its beginning, also when it has already outgrown its old size."""
    setting.append("a.log", b"")
    setting.step()
    setting.append("a.log", b"aaaa\nbbbb\n")
    setting.step()
    (setting.folder / "a.log").write_bytes(b"c\n")
    setting.step()
    (setting.folder / "a.log").write_bytes(b"dddddddddd\neeeeeeeeee\n")
    assert setting.settle() == ["aaaa", "bbbb", "c", "dddddddddd", "eeeeeeeeee"]


def test_deleted_file_is_read_to_its_end(setting: Setting) -> None:
    """What was written before the deletion, an unfinished line included, is sent; the descriptor is given back."""
    setting.append("a.log", b"")
    setting.step()
    setting.append("a.log", b"1\n2")
    (setting.folder / "a.log").unlink()
    assert setting.settle() == ["1", "2"]
    assert _opened(setting.folder) == 0


def _opened(folder: Path) -> int:
    """How many files of the folder this process holds open."""
    count = 0
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += fd.readlink().is_relative_to(folder)
    return count


def test_copy_of_a_rotation_is_not_sent_again(tmp_path: Path) -> None:
    """copytruncate makes a copy that the glob finds too: its lines were sent from the original."""
    setting = Setting(tmp_path, glob="a.log*")
    setting.append("a.log", b"")
    setting.step()
    setting.append("a.log", b"a line that is long enough to be told from others\n" * 2)
    setting.step()
    shutil.copy(tmp_path / "a.log", tmp_path / "a.log.1")
    os.truncate(tmp_path / "a.log", 0)
    setting.append("a.log", b"after\n")
    assert Counter(setting.settle()) == {
        "a line that is long enough to be told from others": 2,
        "after": 1,
    }


def test_restart_goes_on_where_it_was(setting: Setting) -> None:
    """Over a restart nothing is lost and nothing is sent twice, also through a rotation in between."""
    setting.append("a.log", b"")
    setting.step()
    setting.append("a.log", b"1\n")
    setting.settle()
    setting.restart()
    setting.append("a.log", b"2\n")
    (setting.folder / "a.log").rename(setting.folder / "a.old")
    setting.append("a.log", b"3\n")
    assert sorted(setting.settle()) == ["1", "2", "3"]


def test_restart_without_farewell_repeats_only_what_was_not_kept(setting: Setting) -> None:
    """After a kill, everything beyond the last kept offset comes again, and nothing before it."""
    setting.append("a.log", b"")
    setting.step()
    setting.append("a.log", b"1\n")
    setting.settle()
    setting.append("a.log", b"2\n")
    setting.step(seconds=5)
    setting.step(seconds=1.2)
    assert [record.text for record in setting.sent] == ["1", "2"]
    setting.restart(clean=False)
    assert setting.settle() == ["1", "2", "2"]


def test_file_that_was_replaced_while_away_is_read_from_its_beginning(setting: Setting) -> None:
    """The kept offset belongs to other content, although the file is the same and longer than before."""
    setting.append("a.log", b"")
    setting.step()
    setting.append("a.log", b"1\n")
    setting.settle()
    setting.restart()
    (setting.folder / "a.log").write_bytes(b"new 1\nnew 2\n")
    assert setting.settle() == ["1", "new 1", "new 2"]


def test_broken_state_counts_as_a_first_start(setting: Setting) -> None:
    """A damaged offsets file stops nothing."""
    (setting.folder / "state").mkdir()
    (setting.folder / "state" / "offsets.json").write_bytes(b"\xff{")
    setting.append("a.log", b"old\n")
    setting.step()
    setting.append("a.log", b"new\n")
    assert setting.settle() == ["new"]


def test_state_that_cannot_be_written_is_said_once(setting: Setting) -> None:
    """Without a place for its offsets the agent follows on and says so in one record."""
    (setting.folder / "state").write_bytes(b"a file where a folder should be")
    setting.step()
    setting.append("a.log", b"new\n")
    texts = setting.settle()
    assert "new" in texts
    assert sum("cannot be kept" in text for text in texts) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_by_permission(setting: Setting) -> None:
    """One warning, then silence, then its lines as soon as it can be read."""
    setting.step()
    setting.append("a.log", b"1\n")
    (setting.folder / "a.log").chmod(0)
    assert sum("cannot be read" in text for text in setting.settle()) == 1
    (setting.folder / "a.log").chmod(0o600)
    assert "1" in setting.settle()


def test_unreadable_file_is_one_warning_and_tried_again(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One warning, then silence, then its lines as soon as it can be read."""
    setting.step()
    setting.append("a.log", b"1\n")
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith("a.log"):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        texts = setting.settle()
    assert [text for text in texts if "cannot be read" in text] == [
        "cannot be read: Permission denied"
    ]
    assert setting.settle()[1:] == ["1"]


def test_pipes_and_folders_are_left_alone(setting: Setting) -> None:
    """Only regular files are followed: opening a pipe would wait for its other end."""
    os.mkfifo(setting.folder / "pipe.log")
    (setting.folder / "folder.log").mkdir()
    (setting.folder / "dead.log").symlink_to("nowhere")
    setting.append("a.log", b"")
    setting.step()
    setting.append("a.log", b"1\n")
    assert setting.settle() == ["1"]


def test_folder_that_was_away_is_not_read_again(tmp_path: Path) -> None:
    """A mount that vanishes and comes back goes on where it was, however long it was away."""
    setting = Setting(tmp_path, glob="mount/*.log")
    (tmp_path / "mount").mkdir()
    setting.append("mount/a.log", b"")
    setting.step()
    setting.append("mount/a.log", b"1\n2\n")
    setting.settle()
    (tmp_path / "mount").rename(tmp_path / "away")
    setting.settle()
    setting.append("away/a.log", b"3\n")
    (tmp_path / "away").rename(tmp_path / "mount")
    assert setting.settle() == ["1", "2", "3"]
    setting.follower.close()


def test_look_that_was_cut_short_loses_no_file(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the folders are too large to be looked through in time, files that are followed stay so."""
    for number in range(20):
        setting.append(f"{number}.log", b"")
    setting.step()
    monkeypatch.setattr(follower_module, "SCAN_SECONDS_MAX", -1.0)
    setting.settle()
    for number in range(20):
        setting.append(f"{number}.log", b"x\n")
    setting.step(seconds=1)
    monkeypatch.setattr(follower_module, "SCAN_SECONDS_MAX", 5.0)
    assert setting.settle() == ["x"] * 20


def test_level_filters(tmp_path: Path) -> None:
    """Records under the level stay on the host; a line without a level counts as info."""
    setting = Setting(tmp_path)
    setting.level = 30
    setting.restart(clean=False)
    setting.step()
    setting.append("a.log", b"plain\nDEBUG x\nWARNING y\n[error] z\n")
    assert setting.settle() == ["WARNING y", "[error] z"]


def test_traceback_is_one_record(setting: Setting) -> None:
    """A traceback belongs to the line that announces it, with the rank of that line."""
    setting.step()
    text = (
        "2026-01-01 00:00:00 ERROR failed\n"
        "Traceback (most recent call last):\n"
        '  File "x.py", line 1, in <module>\n'
        "    boom()\n"
        "ValueError: no\n"
        "\n"
        "During handling of the above exception, another exception occurred:\n"
        "\n"
        "Traceback (most recent call last):\n"
        '  File "x.py", line 3, in <module>\n'
        "KeyError: 'a'\n"
    )
    setting.append("a.log", text.encode() + b"2026-01-01 00:00:01 INFO next\n")
    assert setting.settle() == [text.rstrip("\n"), "2026-01-01 00:00:01 INFO next"]
    assert [record.level for record in setting.sent] == [40, 20]


def test_long_and_broken_lines(setting: Setting) -> None:
    """A megabyte in one line, bytes that are no text, NUL and escapes arrive cut and visible."""
    setting.step()
    setting.append("a.log", b"x" * (1 << 20) + b"\n\xff\x00\x1b[31m\xc2\x9b\n")
    long, broken = setting.settle()
    assert len(long) < 5000
    assert long.endswith("bytes more)")
    assert broken == "\\xff\\x00\\x1b[31m\\x9b"


def test_flood_is_bounded_and_said(setting: Setting) -> None:
    """Above the rate records are dropped; one record says how many and whence."""
    setting.rate = 10
    setting.restart(clean=False)
    setting.step()
    setting.append("a.log", b"".join(b"ERROR %d\n" % number for number in range(1000)))
    texts = setting.settle()
    kept = [text for text in texts if text.startswith("ERROR")]
    said = [text for text in texts if text.startswith("dropped")]
    dropped = sum(int(text.split()[1]) for text in said)
    assert len(kept) + dropped == 1000
    assert 10 <= len(kept) <= 40
    assert all("a.log" in text for text in said)


def test_loud_file_does_not_starve_others(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step reads a bounded part of each file: a quiet file is heard while a loud one is far behind."""
    monkeypatch.setattr(follower_module, "STEP_BUDGET", 128 << 10)
    setting.append("loud.log", b"")
    setting.append("quiet.log", b"")
    setting.step()
    setting.append("loud.log", b"DEBUG loud\n" * 200_000)
    setting.append("quiet.log", b"ERROR quiet\nnext\n")
    for _ in range(3):
        assert setting.step(seconds=0.05)
    assert any(record.text == "ERROR quiet" for record in setting.sent)


def test_descriptors_are_bounded(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more files than descriptors all are followed, and those of quiet files are given back."""
    monkeypatch.setattr(follower_module, "OPEN_MAX", 5)
    setting.step()
    for number in range(40):
        setting.append(f"{number}.log", b"1\n")
    setting.settle()
    assert _opened(setting.folder) <= 5
    for number in range(40):
        setting.append(f"{number}.log", b"2\n")
    assert Counter(setting.settle()) == {"1": 40, "2": 40}


OPERATIONS = st.lists(
    st.sampled_from(
        [
            "line",
            "lines",
            "part",
            "part",
            "step",
            "step",
            "rotate",
            "copy",
            "empty",
            "restart",
            "wait",
        ]
    ),
    max_size=40,
)


@given(operations=OPERATIONS, wide=st.booleans())
@example(operations=["line", "copy", "rotate"], wide=True)  # the copy is met after the rename
@example(operations=["line", "copy", "line", "restart", "rotate"], wide=False)  # emptied unnoticed
@example(operations=["line", "rotate", "line", "copy", "line"], wide=False)  # as long as before
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_life_of_a_log(
    tmp_path_factory: pytest.TempPathFactory, operations: list[str], wide: bool
) -> None:
    """Through any mix of writes, rotations, truncations and restarts each whole line is sent exactly once."""
    folder = tmp_path_factory.mktemp("life")
    setting = Setting(folder, glob="a.log*" if wide else "a.log")
    setting.append("a.log", b"")
    setting.step()
    written: list[str] = []
    open_line = ""

    def write(text: str) -> None:
        nonlocal open_line
        open_line += text
        *whole, open_line = open_line.split("\n")
        written.extend(line for line in whole if line)
        setting.append("a.log", text.encode())

    def end_line() -> None:
        if open_line:
            write("\n")

    for number, operation in enumerate(operations):
        match operation:
            case "line":
                write(f"line {number} of a log that is about nothing at all\n")
            case "lines":
                write("".join(f"line {number}.{part} and its own words\n" for part in range(5)))
            case "part":
                write(f"part {number} ")
            case "step":
                setting.step()
            case "wait":
                setting.step(seconds=20)
            case "rotate":
                end_line()
                (folder / "a.log").rename(folder / f"a.log.{number}")
                setting.append("a.log", b"")
                setting.step(seconds=6)  # the folders were looked at: a name is not reused before
            case "copy" | "empty":
                # What nobody has read when it is cut off is gone by nature: so all was read.
                end_line()
                setting.settle()
                if operation == "copy":
                    shutil.copy(folder / "a.log", folder / f"a.log.{number}")
                os.truncate(folder / "a.log", 0)
                setting.step()
            case "restart":
                setting.restart()
    end_line()
    assert Counter(setting.settle()) == Counter(written)
    setting.follower.close()
