"""What tests of a host's set-up share."""

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from dts_core.signing.keys import Signer, new_pem
from dts_core.ssh.setup.wish import Wish
from dts_core.vault import Secret

PASSWORD = "Canary-of-the-broker-71f3"
PUBLIC_KEY = str(Signer(new_pem()).public)
SUDO = "Canary-of-sudo-55aa"
FAKE_SUDO = f"""#!/bin/sh
# As sudo -S -p PROMPT -- COMMAND, or sudo -n -- COMMAND.
echo "$*" >> "$RECORD/sudo"
if [ "$1" = -n ]; then echo "sudo: a password is required" >&2; exit 1; fi
prompt=$3
shift 4
for try in 1 2 3; do
    printf %s "$prompt" >&2
    read -r given || exit 1
    [ "$given" = {SUDO} ] && exec "$@"
    echo "Sorry, try again." >&2
done
exit 1
"""


def shelf_folder(factory: pytest.TempPathFactory) -> Path:
    """Where wheels are kept; the same for all processes of one run, since packing them takes seconds."""
    base = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    return base / "setup-shelf"


def wish_for(folder: Path, **changes: Any) -> Wish:
    """A worker in a folder, whose broker is not there."""
    fields: dict[str, Any] = {
        "host": "web-1",
        "broker_url": Secret(f"amqp://dts.host.web-1:{PASSWORD}@127.0.0.1:1/dts"),
        "folder": str(folder),
        "keeper": "supervised",
        "public_keys": (PUBLIC_KEY,),
        "drain_seconds": 5.0,
    }
    return Wish(**fields | changes)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path below a folder, with its mode and when it was changed."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def processes_of(folder: Path) -> list[psutil.Process]:
    """What runs from below a folder."""
    mark = f"{folder}/"
    found = []
    for each in psutil.process_iter(["cmdline", "status"]):
        words = each.info["cmdline"] or []
        if each.info["status"] != psutil.STATUS_ZOMBIE and any(
            word.startswith(mark) for word in words[:5]
        ):
            found.append(each)
    return found
