"""What there is to know of a host before anything is changed. Nothing is asked over a network, nothing is written."""

import importlib.util
import os
import platform
import pwd
import shutil
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

from dts_core.ssh.setup.far.base import command, environment

NEEDED = ("venv", "ssl", "sqlite3", "ctypes", "zlib", "lzma", "asyncio", "resource", "fcntl")
"""Modules that small installations of Python leave out, and a worker needs."""


def collect() -> "dict[str, Any]":
    """The facts, as plain values."""
    who = pwd.getpwuid(os.geteuid())
    home = Path.home()
    return {
        "system": platform.system(),
        "os": _os(),
        "arch": platform.machine(),
        "libc": "-".join(platform.libc_ver()),
        "python": sys.executable,
        "python_version": platform.python_version(),
        "implementation": sys.implementation.name,
        "soabi": sysconfig.get_config_var("SOABI") or "",
        "platform": sysconfig.get_platform(),
        "missing": [name for name in NEEDED if importlib.util.find_spec(name) is None],
        "user": who.pw_name,
        "uid": os.geteuid(),
        "home": str(home),
        "time": time.time(),
        "cores": os.cpu_count() or 0,
        "memory_bytes": _memory(),
        "disk_free_bytes": _free(home),
        "systemd": Path("/run/systemd/system").is_dir(),
        "user_manager": Path(environment()["XDG_RUNTIME_DIR"], "systemd").is_dir(),
        "lingering": Path("/var/lib/systemd/linger", who.pw_name).exists(),
        "sudo": _sudo(),
    }


def _os() -> str:
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        try:
            lines = path.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition("=")
            if name == "PRETTY_NAME":
                return value.strip().strip("\"'")
    return platform.platform()


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 0


def _free(home: Path) -> int:
    for path in (home, Path("/")):
        try:
            return shutil.disk_usage(path).free
        except OSError:
            continue
    return 0


def _sudo() -> str:
    """root, free (asks for no password), asks, or none."""
    if os.geteuid() == 0:
        return "root"
    status, _ = command(["sudo", "-n", "true"], seconds=10)
    return {0: "free", 127: "none"}.get(status, "asks")
