"""What this worker is called, and where it keeps its files."""

import os
import secrets
import shutil
import tempfile
from pathlib import Path

from dts_core.errors import ConfigError
from dts_core.hosting.hostname import host_name
from dts_core.text import one_line

__all__ = ["data_folder", "host_name", "worker_name", "working_folder"]


def worker_name(host: str) -> str:
    """A name that no other worker has, and no former start of this one."""
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def data_folder(given: str = "") -> Path:
    """The folder given, else the user's cache folder; made when it is missing.

    Raises:
        ConfigError: It cannot be made.
    """
    if given:
        folder = Path(given).expanduser()
    else:
        import platformdirs

        folder = Path(platformdirs.user_cache_dir("dts", appauthor=False)) / "worker"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the folder cannot be made: {error.strerror}.",
            file=one_line(str(folder)),
            key="worker.data",
        ) from error
    return folder


def working_folder(data: Path) -> Path:
    """A new folder for this worker's children, in `data`; what workers left that were killed is removed.

    Touches the disk: call it in a thread.
    """
    base = data / "children"
    base.mkdir(mode=0o700, exist_ok=True)
    for left in base.iterdir():
        pid = left.name.partition("-")[0]
        if not pid.isdigit() or not _is_alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=base))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
