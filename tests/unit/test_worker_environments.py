"""Environments on the disk: their name, their lock, what a crash leaves, what is removed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.pep723 import read_script
from dts_core.settings import EnvironmentSettings
from dts_core.testing import wait_until
from dts_worker.environments import folders
from dts_worker.environments.commands import Commands, is_network_trouble
from dts_worker.environments.hashes import chosen, without_hashes
from dts_worker.environments.service import Environments
from dts_worker.environments.wanted import EnvironmentFailed, wanted
from tests.support.wheels import sha256, wheel

ROOT = Path(__file__).resolve().parents[2]
SOURCE = b"# /// script\n# dependencies = ['tinypackage==1.0']\n# ///\ndef main(): pass\n"
MAKER = """
import asyncio, sys
from pathlib import Path
from dts_core.settings import EnvironmentSettings
from dts_worker.environments.commands import Commands
from dts_worker.environments.service import Environments

async def main():
    settings = EnvironmentSettings(no_index=True, find_links=[sys.argv[2]])
    made = Environments(settings, Path(sys.argv[1]), Commands(set(), dict), in_use=set)
    print(await made.interpreter({source!r}, print), flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


def key(dependencies: list[str], **settings: object) -> str:
    lines = ["# /// script", f"# dependencies = {dependencies}", "# ///"]
    script = read_script("\n".join(lines))
    assert script is not None
    return wanted(script, EnvironmentSettings(**settings)).key  # type: ignore[arg-type]


@given(st.permutations(["a>=1", "b", "c[x,y]==2", "B", "a >=1"]))
def test_order_and_spelling_do_not_make_another_environment(dependencies: list[str]) -> None:
    """What is the same to pip is one folder."""
    assert key(dependencies) == key(["c[y,x]==2", "A>=1", "b"])


def test_what_decides_on_the_packages_makes_another_environment(tmp_path: Path) -> None:
    """Requirements, where they come from, what bounds them; the content of the constraints, not the file's name."""
    bounds, more = tmp_path / "a.txt", tmp_path / "b.txt"
    bounds.write_text("a<3")
    more.write_text("a<2")
    found = [
        key(["a"]),
        key(["a>=1"]),
        key(["a"], index_url="elsewhere"),
        key(["a"], no_index=True),
        key(["a"], find_links=["/p"]),
        key(["a"], allow_builds=True),
        key(["a"], require_hashes=True),
        key(["a"], constraints=str(bounds)),
        key(["a"], constraints=str(more)),
    ]
    assert len(set(found)) == len(found)
    more.write_text("a<3")
    assert key(["a"], constraints=str(more)) == key(["a"], constraints=str(bounds))
    assert key(["a"], keep_days=1, timeout_seconds=1) == key(["a"])


def made(root: Path, name: str, *, size: int = 10, age_days: float = 0.0) -> Path:
    """A complete environment with an interpreter, used last so long ago."""
    folder = root / (name * 64)
    lock = folders.Lock(folder)
    assert lock.own()
    built = folders.begin(folder)
    (built / "bin").mkdir()
    (built / "bin" / "python").symlink_to(sys.executable)
    folders.finish(folder, built, size, ["a"])
    lock.close()
    then = time.time() - age_days * folders.DAY_SECONDS
    os.utime(folder / "ready.json", (then, then))
    return folder


def test_what_was_never_finished_is_not_found_and_goes(tmp_path: Path) -> None:
    """Without its record a folder is nothing; the next one who builds removes it."""
    folder = tmp_path / ("a" * 64)
    lock = folders.Lock(folder)
    assert lock.own()
    left = folders.begin(folder)
    (left / "bin").mkdir()
    (left / "bin" / "python").symlink_to(sys.executable)
    assert folders.interpreter(folder) is None
    built = folders.begin(folder)
    assert not left.exists()
    assert built.exists()


def test_a_broken_environment_is_none(tmp_path: Path) -> None:
    """Without its interpreter, with a record that cannot be read, or one that leads elsewhere."""
    gone, bent, away = (made(tmp_path, name) for name in "abc")
    python = folders.interpreter(gone)
    assert python is not None
    python.unlink()
    (bent / "ready.json").write_bytes(b"{")
    (away / "ready.json").write_text('{"folder": "../x", "size": 1}')
    assert [folders.interpreter(each) for each in (gone, bent, away)] == [None, None, None]


def test_the_oldest_go_first_and_none_that_is_used(tmp_path: Path) -> None:
    """First what is too old, then the least recently used above max_bytes, whatever is held stays."""
    for name, age in (("a", 50), ("b", 40), ("c", 3), ("d", 2), ("e", 1)):
        made(tmp_path, name, size=100, age_days=age)
    used = [folders.Lock(tmp_path / (name * 64)) for name in "bc"]
    assert all(lock.share() for lock in used)
    settings = EnvironmentSettings(keep_days=30, max_bytes=250)
    assert folders.tidy(tmp_path, settings) == [name * 64 for name in "ade"]
    assert sorted(each.name[0] for each in tmp_path.iterdir()) == ["b", "c"]
    for lock in used:
        lock.close()
    assert folders.tidy(tmp_path, settings) == ["b" * 64]


def test_a_lock_of_a_folder_that_was_removed_does_not_count(tmp_path: Path) -> None:
    """Who waited for it while it was removed has to open it again."""
    folder = made(tmp_path, "a")
    late = folders.Lock(folder)
    assert folders.remove_unused(folder)
    assert not late.own()
    assert not late.share()
    late.close()
    again = folders.Lock(folder)
    assert again.own()
    again.close()


@pytest.mark.parametrize(
    ("line", "trouble"),
    [
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'",
            True,
        ),
        ("ERROR: HTTP error 503 while getting https://x", True),
        ("ERROR: No matching distribution found for x", False),
        ("ERROR: HTTP error 404 while getting https://x", False),
    ],
)
def test_trouble_with_the_network_is_told_from_the_rest(line: str, trouble: bool) -> None:
    """Only it is worth another try."""
    assert is_network_trouble(line) is trouble


async def test_a_command_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    """Its process is spared by the sweeper while it runs, and only then; its lines come clean."""
    spared: set[int] = set()
    lines: list[str] = []
    script = "echo a\x1b[31mb; echo http://u:secret@h/; sleep 60 & sleep 60"
    ran = asyncio.ensure_future(
        Commands(spared, dict).run(
            ["/bin/sh", "-c", script],
            folder=tmp_path,
            variables={"PATH": os.environ["PATH"]},
            seconds=0.5,
            hold=os.open(tmp_path, os.O_RDONLY),
            tell=lines.append,
        )
    )
    await wait_until(lambda: len(lines) == 2)
    assert len(spared) == 1
    found = await ran
    assert found.timed_out
    assert found.tail == lines == ["a\\x1b[31mb", "http://u:***@h/"]
    assert spared == set()


def process(root: Path, packages: Path) -> "subprocess.Popen[str]":
    """A worker's part that makes the environment, then holds it until its standard input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", MAKER.format(source=SOURCE), str(root), str(packages)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(of: "subprocess.Popen[str]") -> list[str]:
    """Its lines up to the interpreter."""
    assert of.stdout is not None
    lines = []
    for line in of.stdout:
        lines.append(line.rstrip())
        if line.endswith("/bin/python\n"):
            break
    return lines


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    wheel(folder, "tinypackage", "1.0", "WORD = 'one'\n")
    return folder


def test_two_processes_make_one_and_no_one_takes_it_from_them(
    tmp_path: Path, packages: Path
) -> None:
    """One makes it, the other waits for it; both hold it, so that it stays whatever the bounds say."""
    root = tmp_path / "environments"
    both = [process(root, packages) for _ in range(2)]
    lines = [said(each) for each in both]
    assert lines[0][-1] == lines[1][-1]
    assert sum("the environment is ready" in each for each in lines) == 1
    strict = EnvironmentSettings(max_bytes=1, keep_days=0.001)
    assert folders.tidy(root, strict, now=time.time() + 1e6) == []
    for each in both:
        each.communicate("")
    assert len(folders.tidy(root, strict, now=time.time() + 1e6)) == 1
    assert list(root.iterdir()) == []


def test_a_crash_in_the_middle_leaves_nothing_that_counts(tmp_path: Path, packages: Path) -> None:
    """Its maker is killed as pip begins; the next one waits for what still runs of it, and makes it whole."""
    root = tmp_path / "environments"
    first = process(root, packages)
    assert first.stdout is not None
    assert "Looking in links" in next(line for line in first.stdout if "Looking" in line)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    (folder,) = root.iterdir()
    assert folders.read_ready(folder) is None
    second = process(root, packages)
    python = said(second)[-1]
    word = "import tinypackage; print(tinypackage.WORD)"
    done = subprocess.run([python, "-I", "-c", word], capture_output=True, text=True, check=True)
    assert done.stdout == "one\n"
    second.communicate("")
    assert sorted(each.name for each in folder.iterdir()) == sorted(
        ["lock", "ready.json", Path(python).parents[1].name]
    )


def test_lines_of_constraints_are_read_as_pip_reads_them() -> None:
    """Continued lines, comments, extras, markers, names in any spelling; a range, or no hash, is no pin."""
    text = (
        "# all\nA_b[x]==1.0 ; python_version > '3' \\\n  --hash=sha256:11 \\\n  --hash=sha256:22\n"
        "ranged>=1 --hash=sha256:33\nbare==2  # why\nwild==2.* --hash=sha256:44\n"
    )
    report = '{"install": [{"metadata": {"name": "%s", "version": "1.0"}}]}'
    (line,) = chosen((report % "a.B").encode(), text)
    assert line.endswith("--hash=sha256:22")
    for name in ("ranged", "bare", "wild", "other"):
        with pytest.raises(EnvironmentFailed, match=f"hash of {name}"):
            chosen((report % name).encode(), text)
    bare = without_hashes(text)
    assert "hash" not in bare
    assert "bare==2\n" in bare


async def test_only_packages_of_known_hashes(tmp_path: Path, packages: Path) -> None:
    """With require_hashes the constraints name version and hash of all that may be installed."""
    known = tmp_path / "constraints.txt"
    known.write_text(f"tinypackage==1.0 --hash={sha256(next(packages.iterdir()))}\n")
    settings = EnvironmentSettings(
        no_index=True,
        find_links=[str(packages)],
        require_hashes=True,
        constraints=str(known),
    )
    here = Environments(settings, tmp_path / "e", Commands(set(), dict), in_use=set)
    assert (await here.interpreter(SOURCE, print)).endswith("/bin/python")
    known.write_text(f"tinypackage==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(EnvironmentFailed, match="DO NOT MATCH THE HASHES") as caught:
        await here.interpreter(SOURCE, print)
    assert not caught.value.transient
    known.write_text("tinypackage<2\n")
    with pytest.raises(EnvironmentFailed, match="no pinned version with a hash of tinypackage"):
        await here.interpreter(SOURCE, print)
    await here.close()
