"""A real OpenSSH server of the tests' own: its own configuration, keys and ports, on loopback, ended by its pid."""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncssh

from dts_core.ssh.hostkeys import Pins
from dts_core.ssh.target import Credentials, Target
from dts_core.vault import Secret
from tests.support.ports import free_port
from tests.support.processes import eventually
from tests.support.sshkeys import private_key, public_line

PROGRAM = shutil.which("sshd", path=f"{os.defpath}:/usr/sbin:/usr/local/sbin") or "sshd"


class SshServer:
    """One sshd, as whoever runs the tests.

    Args:
        folder: For its files.
        addresses: Of loopback, all on one port.
        options: Further lines of sshd_config; the first of a name counts, so these win. Those who log in have an empty
            home, unless `SetEnv HOME=` names one: what shells do at a login here is no part of a test.
        host_keys: Private keys in PEM; by default one of Ed25519.
        port: A free one by default.
        prefix: Words before its command, which become it: `nsenter`, for a network of its own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        addresses: Sequence[str] = ("127.0.0.1",),
        options: Sequence[str] = (),
        host_keys: Sequence[str] = (),
        port: int = 0,
        prefix: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.prefix = prefix
        self.addresses = addresses
        self.options = options
        self.port = port or free_port()
        self.user = getpass.getuser()
        self.host_keys = list(host_keys) or [private_key()]
        self.user_key = private_key()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pins(self) -> Pins:
        return Pins(keys=tuple(public_line(key) for key in self.host_keys))

    def target(self, **changes: Any) -> Target:
        """How to log in there."""
        fields: dict[str, Any] = {
            "id": "host",
            "address": self.addresses[0],
            "port": self.port,
            "user": self.user,
            "credentials": Credentials(private_key=Secret(self.user_key)),
            "pins": self.pins,
        }
        return Target(**fields | changes)

    def vhost(self) -> dict[str, Any]:
        """Fields of a virtual host for it."""
        return {
            "address": self.addresses[0],
            "port": self.port,
            "user": self.user,
            "ssh_pem_cert": self.user_key,
            "known_host_key": "\n".join(self.pins.keys),
        }

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def authorize(self, *lines: str) -> None:
        """Let these keys in, and no others."""
        (self.folder / "authorized_keys").write_text("".join(f"{line}\n" for line in lines))

    def start(self) -> None:
        self.authorize(public_line(self.user_key))
        lines = [*self._environment(), *(each for each in self.options if not _is_set(each))]
        for number, key in enumerate(self.host_keys):
            file = self.folder / f"host_{number}"
            file.write_text(key)
            file.chmod(0o600)
            lines.append(f"HostKey {file}")
        lines += [f"ListenAddress {address}:{self.port}" for address in self.addresses]
        lines += [
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            f"PidFile {self.folder}/pid",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "UseDNS no",
            "LogLevel VERBOSE",
            "Subsystem sftp internal-sftp",
        ]
        (self.folder / "config").write_text("".join(f"{line}\n" for line in lines))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it jails its front
        self._process = subprocess.Popen(
            [*self.prefix, PROGRAM, "-D", "-f", self.folder / "config", "-E", self.folder / "log"],
            stdin=subprocess.DEVNULL,
        )
        eventually(self._is_ready, what="sshd is ready")

    def _environment(self) -> list[str]:
        """One line, as sshd reads the first alone."""
        words = [each.partition(" ")[2] for each in self.options if _is_set(each)]
        if not any(word.startswith("HOME=") for word in words):
            home = self.folder / "home"
            home.mkdir(exist_ok=True)
            words.append(f"HOME={home}")
        return [f"SetEnv {' '.join(words)}"]

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.addresses[-1], self.port), timeout=5) as stream,
        ):
            return stream.recv(4) == b"SSH-"
        return False

    def stop(self) -> None:
        """End it and the sessions that it serves, each by its pid."""
        process, self._process = self._process, None
        if process is None:
            return
        import psutil

        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def _is_set(option: str) -> bool:
    return option.startswith("SetEnv ")


@contextlib.contextmanager
def ssh_server(**options: Any) -> Iterator[SshServer]:
    """A server for the length of a block."""
    folder = Path(tempfile.mkdtemp(prefix="dts-sshd-"))
    server = SshServer(folder, **options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def host_certificate(host_key: str, authority: asyncssh.SSHKey, *names: str) -> str:
    """A certificate that the authority gives to a host, for these names."""
    key = asyncssh.import_private_key(host_key)
    made = authority.generate_host_certificate(key, "test", principals=list(names))
    return made.export_certificate().decode()
