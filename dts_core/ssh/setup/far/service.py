"""What keeps the worker running: a unit of systemd, of the system or of a user; or the supervisor."""

import contextlib
import fcntl
import hashlib
import os
import pwd
import signal
import sys
import time
from pathlib import Path
from typing import Any, Optional

from dts_core.ssh.setup.far.base import Failed, Place, command, digest_of, must, write_whole
from dts_core.ssh.setup.far.journal import Journal

UNIT = "dts-worker.service"
SUPERVISED = "supervised"
WAIT_SECONDS = 20.0
LOOK_SECONDS = 0.05
TAIL = 2000


def _systemctl(place: Place) -> "list[str]":
    return ["systemctl", "--user"] if place.manager == "systemd-user" else ["systemctl"]


def unit_files(place: Place) -> "list[Path]":
    """What the step `unit` writes."""
    if place.manager == SUPERVISED:
        return [place.program / "supervisor.py", place.program / "service.json"]
    return [place.unit]


def unit_state(place: Place, salt: str) -> "dict[str, Any]":
    """How the unit is; whether it starts with the machine."""
    files = {path.name: digest_of(path, salt) for path in unit_files(place)}
    if place.manager == SUPERVISED:
        return {"files": files, "enabled": False}
    _, said = command([*_systemctl(place), "is-enabled", UNIT])
    enabled = said.split("\n")[-1] == "enabled"
    if place.manager == "systemd-user":
        enabled = enabled and _lingers()
    return {"files": files, "enabled": enabled}


def write_unit(place: Place, given: "dict[str, Any]", journal: Journal) -> None:
    """Write the unit, and have it start with the machine where something can."""
    for path in unit_files(place):
        wanted = given["files"][path.name]
        journal.make(path.parent, 0o755)
        write_whole(path, wanted["text"].encode(), wanted["mode"])
    if place.manager == SUPERVISED:
        return
    if place.manager == "systemd-user" and not _lingers():
        journal.note("linger", True)
        must(["loginctl", "enable-linger"])
        _wait(lambda: command([*_systemctl(place), "is-system-running"])[0] in (0, 1, 3))
    must([*_systemctl(place), "daemon-reload"])
    must([*_systemctl(place), "enable", UNIT])


def _lingers() -> bool:
    name = pwd.getpwuid(os.getuid()).pw_name
    status, said = command(["loginctl", "show-user", name, "--property=Linger", "--value"])
    return not status and said.split("\n")[-1] == "yes"


# --- whether it runs --------------------------------------------------------------------------------


def state(place: Place) -> "dict[str, bool]":
    """Whether it runs, and whether from what is written now."""
    running = is_running(place)
    try:
        started = (place.program / "started").read_text()
    except OSError:
        started = ""
    return {"running": running, "fresh": running and started == _stamp(place)}


def is_running(place: Place) -> bool:
    """Whether whatever keeps the worker running does."""
    if place.manager == SUPERVISED:
        return supervisor_pid(place) is not None
    _, said = command([*_systemctl(place), "is-active", UNIT])
    return said.split("\n")[-1] in ("active", "activating", "reloading")


def supervisor_pid(place: Place) -> "Optional[int]":
    """The supervisor, which holds a lock as long as it lives; None: there is none."""
    try:
        descriptor = os.open(place.run / "lock", os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        text = os.read(descriptor, 32).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def _stamp(place: Place) -> str:
    """Tells apart what a start would start."""
    told = hashlib.sha256()
    told.update(bytes(place.current.readlink()) if place.current.is_symlink() else b"")
    for path in [*sorted(place.config.glob("*")), *unit_files(place)]:
        if path.is_file():
            told.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes())
    return told.hexdigest()


# --- start and stop ---------------------------------------------------------------------------------


def start(place: Place, given: "dict[str, Any]") -> None:
    """Start it anew from what is written now; what ran finishes first what it has begun.

    Raises:
        Failed: It does not start.
    """
    stamp = _stamp(place)
    if place.manager == SUPERVISED:
        stop(place, given["drain_seconds"])
        place.run.mkdir(mode=0o700, exist_ok=True)
        must([sys.executable, "-I", "-S", str(place.program / "supervisor.py"), str(place.program)])
    else:
        # It says that it is ready once its broker answers, which may take for ever: the first beat tells of that.
        must([*_systemctl(place), "restart", "--no-block", UNIT])
    if not _wait(lambda: is_running(place)):
        raise Failed("the worker does not start")
    write_whole(place.program / "started", stamp.encode(), 0o600)


def stop(place: Place, seconds: float) -> bool:
    """Let it finish and end; after so many seconds, and some more, it is killed. Whether it ran."""
    if place.manager != SUPERVISED:
        was = is_running(place)
        if was or place.unit.exists():
            command([*_systemctl(place), "stop", UNIT], seconds + WAIT_SECONDS)
        return was
    _wait(lambda: supervisor_pid(place) != 0)  # it is just about to write its number down
    pid = supervisor_pid(place)
    if not pid:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not _wait(lambda: supervisor_pid(place) is None, seconds + WAIT_SECONDS):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # its worker sees that it has gone, and ends too
        if not _wait(lambda: supervisor_pid(place) is None):
            raise Failed(f"the supervisor (process {pid}) does not end")
    return True


def words(place: Place) -> str:
    """The last that the worker printed."""
    if place.manager == SUPERVISED:
        try:
            with (place.run / "worker.log").open("rb") as log:
                log.seek(max(log.seek(0, os.SEEK_END) - TAIL, 0))
                return log.read().decode("utf-8", "replace")
        except OSError:
            return ""
    user = ["--user"] if place.manager == "systemd-user" else []
    return command(["journalctl", *user, "-u", UNIT, "-n", "20", "-o", "cat", "--no-pager"])[1]


def take_away(place: Place, journal: Journal) -> None:
    """Stop for good, and take the unit's files away."""
    stop(place, 30.0)
    if place.manager != SUPERVISED and place.unit.exists():
        command([*_systemctl(place), "disable", UNIT])
        place.unit.unlink()
        command([*_systemctl(place), "daemon-reload"])
        command([*_systemctl(place), "reset-failed", UNIT])
    if journal.did.get("linger"):
        command(["loginctl", "disable-linger"])


def _wait(is_so: Any, seconds: float = WAIT_SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True
