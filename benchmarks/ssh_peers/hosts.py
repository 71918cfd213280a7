"""The hosts of a run: one sshd on many addresses of loopback, and what other programs need to log in there."""

import json
import sys
from pathlib import Path

from tests.support.sshd import SshServer

__all__ = ["Hosts"]


class Hosts:
    """The first so many of a server's addresses.

    Args:
        server: Listens on all of them.
        folder: For the files that other programs read.
        names: Addresses.
    """

    def __init__(self, server: SshServer, folder: Path, names: list[str]) -> None:
        self.server = server
        self.names = names
        self.folder = folder
        self.key = folder / "key"
        self.key.write_text(server.user_key)
        self.key.chmod(0o600)
        self.trusted = folder / "known_hosts"
        lines = [f"[{name}]:{server.port} {key}\n" for name in names for key in server.pins.keys]
        self.trusted.write_text("".join(lines))
        self.config = self._config("config", "ControlMaster no")
        kept = f"ControlMaster auto\n  ControlPath {folder}/%C\n  ControlPersist 120"
        self.keeping_config = self._config("keeping", kept)
        self.inventory = folder / "inventory"
        self.inventory.write_text(
            "".join(f"{name} ansible_python_interpreter=python3\n" for name in names)
        )

    def _config(self, name: str, more: str) -> Path:
        file = self.folder / name
        file.write_text(
            f"Host *\n  Port {self.server.port}\n  User {self.server.user}\n"
            f"  IdentityFile {self.key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.trusted}\n  StrictHostKeyChecking yes\n"
            f"  LogLevel ERROR\n  {more}\n"
        )
        return file

    def place(self, rounds: int) -> str:
        """For the programs in `apps`."""
        return json.dumps(
            [
                self.names,
                self.server.port,
                self.server.user,
                str(self.key),
                str(self.trusted),
                str(self.config),
                rounds,
            ]
        )


def bin_of(root: Path) -> Path:
    """Where the peers' commands are."""
    return root / ".venv-sshbench" / ("Scripts" if sys.platform == "win32" else "bin")
