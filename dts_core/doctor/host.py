"""A look at this machine, for a part: its folder, its disk, its limits."""

import os
import resource
import shutil
import stat
from pathlib import Path
from typing import Final

from dts_core.doctor.findings import Finding, ok, problem, warning
from dts_core.text import clean

__all__ = ["check_folder", "check_limits"]

AREA: Final = "host"
FREE_SHARE: Final = 0.05
FILES: Final = 4096
"""Descriptors that a busy part may need."""


def check_folder(given: Path | str) -> list[Finding]:
    """A data folder: private, ours, with room."""
    folder = Path(given).expanduser()
    shown = clean(str(folder))
    try:
        status = folder.stat()
    except FileNotFoundError:
        return [ok(AREA, f"{shown} is not there yet, made at the first start")]
    except OSError as error:
        return [problem(AREA, f"{shown}: {error.strerror}", "Check its owner and mode.")]
    found = []
    if status.st_uid != os.getuid():
        what = f"{shown} belongs to user {status.st_uid}, not to {os.getuid()}"
        found.append(warning(AREA, what, "Run the doctor as the user of the part."))
    if stat.S_IMODE(status.st_mode) & 0o077:
        found.append(problem(AREA, f"{shown} is open to others", f"chmod 700 {shown}"))
    usage = shutil.disk_usage(folder)
    what = f"{shown} has {usage.free / 1e9:.1f} GB free"
    if usage.free < FREE_SHARE * usage.total:
        found.append(warning(AREA, what, "Make room: without any, nothing is accepted."))
    else:
        found.append(ok(AREA, what))
    return found


def check_limits() -> list[Finding]:
    """How many files a process of this user may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = soft if soft >= 0 else 1 << 20
    what = f"{most} open files allowed (hard limit {hard})"
    if most < FILES:
        return [warning(AREA, what, "Raise it: LimitNOFILE=65536 in the unit, or ulimit -n.")]
    return [ok(AREA, what)]
