"""Everything that set-up made, taken away in reverse; then it is looked whether anything is left."""

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from dts_core.ssh.setup.far import service
from dts_core.ssh.setup.far.base import Failed, Place
from dts_core.ssh.setup.far.journal import Journal
from dts_core.ssh.setup.far.steps import remove_account

WAIT_SECONDS = 10.0


def remove(place: Place, order: "dict[str, Any]") -> "dict[str, Any]":
    """Take it away; a second time does nothing.

    Args:
        place: Where.
        order: `keep_data`: leave the folder of the worker's data.

    Returns:
        `removed`: whether there was anything; `left`: paths and processes that are still there.
    """
    journal = Journal(place)
    was = place.program.exists()
    service.take_away(place, journal)
    with contextlib.suppress(FileNotFoundError):  # so that nobody starts it anew meanwhile
        place.current.unlink()
    _end_processes(place)
    made, did = journal.made, journal.did
    for name in did.get("files", []):
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
    if not order.get("keep_data") and str(place.data) in made:
        shutil.rmtree(place.data, ignore_errors=True)
    if did.get("account"):
        remove_account(did["account"])
    # The journal goes last, and its folder with it: a cut above is taken up where it was.
    if was:
        _remove_program(place, made)
    return {"removed": was, "left": _left(place, order, made, did)}


def _remove_program(place: Place, made: "list[str]") -> None:
    for each in place.program.iterdir():
        if each.name == "journal.json":
            continue
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()
    others = [Path(each) for each in made if Path(each) != place.program]
    for folder in sorted(others, key=lambda each: len(each.parts), reverse=True):
        if folder not in place.program.parents:
            _rmdir(folder)
    (place.program / "journal.json").unlink()
    if str(place.program) in made:
        _rmdir(place.program)
    for folder in sorted(others, key=lambda each: len(each.parts), reverse=True):
        if folder in place.program.parents:
            _rmdir(folder)


def _rmdir(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not empty: somebody else's by now
        folder.rmdir()


def _end_processes(place: Place) -> None:
    """What a killed supervisor may have left; normally nothing."""
    deadline = time.monotonic() + WAIT_SECONDS
    while found := _processes(place):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise Failed(f"processes do not end: {', '.join(map(str, sorted(found)))}")
        time.sleep(0.05)


def _processes(place: Place) -> "list[int]":
    """Processes that run what lies in our folder."""
    mark = os.fsencode(place.program) + b"/"
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if int(folder.name) != os.getpid() and any(each.startswith(mark) for each in words[:5]):
                found.append(int(folder.name))
    return found


def _left(
    place: Place, order: "dict[str, Any]", made: "list[str]", did: "dict[str, Any]"
) -> "list[str]":
    paths = [place.program, *service.unit_files(place)]
    paths += [Path(name) for name in did.get("files", [])]
    if not order.get("keep_data") and str(place.data) in made:
        paths.append(place.data)
    left = [str(path) for path in paths if path.exists() or path.is_symlink()]
    return left + [f"process {pid}" for pid in _processes(place)]
