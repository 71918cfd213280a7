"""How `dts up` starts its workers."""

import glob
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from dts_core.config import Loaded
from dts_core.hosting.fleet import WorkerCommand
from dts_core.places import PUBLIC_KEYS, SOCKET
from dts_core.settings import AgentSettings, WorkerFile, WorkerSettings

__all__ = ["drain_of", "worker_command"]

SYSTEM_LOGS: Final = "/var/log"
DRAIN_SECONDS: Final = 3.0
"""How long a job may go on once the stack stops, unless worker.toml or the environment says otherwise."""


def worker_command(
    folder: Path,
    loaded: Loaded[WorkerFile],
    *,
    umask: int,
    environ: Mapping[str, str] = os.environ,
) -> WorkerCommand:
    """How to start a worker on the data folder; it ends with this process.

    The first one follows log files: the stack's own, the system's where they can be read, and those of worker.toml.

    Args:
        folder: The data folder.
        loaded: worker.toml; the worker reads it again.
        umask: The person's own: what a job writes has the mode that they are used to, while this
            process makes private files only.
        environ: What it inherits.
    """
    common = {
        "DTS_BROKER_URL": f"link+unix://{folder / SOCKET}",
        "DTS_SIGNING_PUBLIC_KEYS_FILE": str(folder / PUBLIC_KEYS),
        "DTS_SIGNING_REQUIRED": "true",
        "DTS_AGENT_LEVEL": _level(loaded),
        "DTS_WORKER_DRAIN_SECONDS": str(drain_of(loaded)),
    }
    file = ["-c", str(loaded.file)] if loaded.file else []
    dev = ["-d"] if loaded.taken else []

    def command(number: int, pipe: int) -> tuple[list[str], dict[str, str]]:
        paths = _paths(folder, loaded) if number == 1 else []
        ours = {
            "DTS_WORKER_DATA": str(folder / f"worker-{number}"),
            "DTS_AGENT_PATHS": msgspec.json.encode(paths).decode(),
        }
        worker = [sys.executable, "-m", "dts_worker.cli", *file, *dev, "--parent-pipe", str(pipe)]
        argv = ["/bin/sh", "-c", f'umask {umask:04o} && exec "$@"', "dts-worker", *worker]
        return argv, {**environ, **common, **ours}

    return command


def _level(loaded: Loaded[WorkerFile]) -> str:
    """On one's own machine one wants to see more than warnings, unless one said so."""
    level = loaded.settings.agent.level
    by_default = level == AgentSettings().level and not loaded.given("agent.level")
    return "info" if by_default else level


def drain_of(loaded: Loaded[WorkerFile]) -> float:
    """How long a job may go on once the stack stops."""
    seconds = loaded.settings.worker.drain_seconds
    by_default = seconds == WorkerSettings().drain_seconds
    return DRAIN_SECONDS if by_default and not loaded.given("worker.drain_seconds") else seconds


def _paths(folder: Path, loaded: Loaded[WorkerFile]) -> list[str]:
    wanted = loaded.settings.agent.paths
    if loaded.given("agent.paths"):
        return wanted
    own = f"{glob.escape(str(folder / 'logs'))}/*.log"
    readable = any(os.access(path, os.R_OK) for path in Path(SYSTEM_LOGS).glob("*.log"))
    return [own, *([f"{SYSTEM_LOGS}/*.log"] if readable else []), *wanted]
