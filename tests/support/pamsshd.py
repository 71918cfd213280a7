"""A real OpenSSH that asks through PAM: on a copy of /etc of its own, with a user and rules of its own. Needs root."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.sshd import PROGRAM, SshServer

ADVICE = "run as root, with unshare, useradd and PAM: apt-get install util-linux passwd libpam-modules openssh-server"
PATH = f"{os.defpath}:/usr/sbin:/sbin"
USER = "dts-pam"
ASKS = """auth requisite pam_unix.so
{second}
account required pam_permit.so
session required pam_permit.so
"""
"""What sshd asks by: its password, then what else is wanted."""
SECOND = "auth required pam_stress.so"
"""Another module, which asks for a line of its own and takes any."""
_BEGIN = """
set -e
mount --bind "$1/etc" /etc
useradd --no-create-home --home-dir "$1/home" --shell /bin/sh "$2"
chpasswd --crypt-method SHA512 < "$1/account"
rm "$1/account"
chown "$2" "$1/home"
cp "$1/rules" /etc/pam.d/sshd
shift 2
exec "$@"
"""


def available() -> bool:
    """Whether one can be made here."""
    programs = ("unshare", "useradd", "chpasswd")
    if sys.platform != "linux" or os.geteuid() != 0 or not Path("/etc/pam.d").is_dir():
        return False
    if not Path(PROGRAM).is_file() or not all(shutil.which(each, path=PATH) for each in programs):
        return False
    return _unshared(["mount", "--bind", "/etc", "/etc"]).returncode == 0


def _unshared(command: Sequence[str]) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", *command],
        capture_output=True, check=False,
    )  # fmt: skip


@contextlib.contextmanager
def pam_server(*, second: str = "", options: Sequence[str] = ()) -> Iterator["PamServer"]:
    """One for the length of a block.

    Args:
        second: A further line of its rules, behind the one that wants the password.
        options: Lines of sshd_config.
    """
    folder = Path(tempfile.mkdtemp(prefix="dts-pam-"))
    server = PamServer(folder, second, options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


class PamServer(SshServer):
    """One sshd. Its user has no key there, and this password; the machine's own /etc is untouched."""

    def __init__(self, folder: Path, second: str, options: Sequence[str]) -> None:
        shutil.copytree("/etc", folder / "etc", symlinks=True)
        (folder / "rules").write_text(ASKS.format(second=second))
        folder.chmod(0o755)
        (folder / "home").mkdir()
        begin = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BEGIN, "-"]
        super().__init__(
            folder,
            options=[*options, "UsePAM yes", "KbdInteractiveAuthentication yes"],
            prefix=[*begin, str(folder), USER],
        )
        self.user = USER
        self.password = f"Canary-{secrets.token_hex(6)}"
        account = folder / "account"
        account.touch(0o600)
        account.write_text(f"{USER}:{self.password}\n")

    def vhost(self) -> dict[str, Any]:
        """Fields of a virtual host for it, of which nothing is stored to log in with."""
        given = super().vhost() | {"auth": "ask"}
        del given["ssh_pem_cert"]
        return given
