"""Where a host's set-up puts things; `~` is the home of who logs in. `dts_core.remote.launching` looks there too."""

from typing import Final

__all__ = ["SYSTEM", "USER", "WORKER"]

USER: Final = "~/.local/share/dts-host"
"""Of scope user: program, config and data below it."""
SYSTEM: Final = {
    "program": "/opt/dts-worker",
    "config": "/etc/dts-worker",
    "data": "/var/lib/dts-worker",
}
"""Of scope system."""
WORKER: Final = "current/bin/dts-worker"
"""Below the program's folder."""
