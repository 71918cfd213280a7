"""A machine of the tests' own: a fresh root that has the system's programs and nothing else, processes and a network of
its own without a way to the Internet, and a real sshd. Needs root; ended by its pid.

DTS_TEST_SYSTEM names the root of a whole system with Python and sshd to use a copy of instead, as debootstrap makes it:
`debootstrap --variant=minbase --include=python3,openssh-server,iproute2 bookworm FOLDER`.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.processes import eventually
from tests.support.sshkeys import private_key, public_line

ADVICE = (
    "run as root, with unshare, chroot and ip: apt-get install util-linux iproute2 openssh-server"
)
PROGRAMS = ("unshare", "chroot", "nsenter", "ip", "sshd", "useradd")
PATH = f"{os.defpath}:/usr/sbin:/sbin:/usr/local/sbin"
FOLDERS = (
    "etc/ssh",
    "dev",
    "proc",
    "tmp",
    "var/lib",
    "var/tmp",
    "root/.ssh",
    "home",
    "opt",
    "run/sshd",
    "usr",
    "sys",
)
LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
COPIED = ("ld.so.cache", "ld.so.conf", "os-release", "login.defs")
KEYS = "PasswordAuthentication no\n"
PASSWORDS = "PasswordAuthentication yes\nPubkeyAuthentication no\n"
_BEGIN = """
set -e
mount --make-rprivate /
if [ -n "$2" ]; then
    mount --bind "$2" "$1/usr"
    mount -o remount,bind,ro "$1/usr"
fi
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
ip link set lo up
read -r ready
exec chroot "$1" /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config
"""


def available() -> bool:
    """Whether one can be made here."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return False
    if not all(shutil.which(each, path=PATH) for each in PROGRAMS):
        return False
    return (
        subprocess.run(
            ["unshare", "--mount", "--net", "--pid", "--fork", "true"],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )


class PrivateRoot:
    """One such machine.

    Args:
        folder: Its root.
        system: A whole system to begin from; without one the programs are this machine's, read-only.
        password: Of root; with one no key is let in.
    """

    def __init__(self, folder: Path, system: Path | None = None, password: str = "") -> None:
        self.root = folder
        self._password = password
        self._system = system
        number = secrets.randbelow(1 << 14)
        net = f"198.{18 + (number >> 13 & 1)}.{number >> 6 & 127}.{(number & 63) << 2}".rsplit(
            ".", 1
        )
        self.outside = f"{net[0]}.{int(net[1]) + 1}"
        """Our own address, as it sees us."""
        self.address = f"{net[0]}.{int(net[1]) + 2}"
        self.port = 22
        self._link = f"dtsr{secrets.token_hex(3)}"
        self.host_key = private_key()
        self.user_key = private_key()
        self._process: subprocess.Popen[bytes] | None = None

    def vhost(self) -> dict[str, Any]:
        """Fields of a virtual host for it."""
        return {
            "address": self.address,
            "port": self.port,
            "user": "root",
            "ssh_pem_cert": self.user_key,
            "known_host_key": public_line(self.host_key),
        }

    def start(self) -> None:
        """Let it begin, until its sshd answers."""
        self._furnish()
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        with (self.root.parent / "sshd.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "sh", "-c", _BEGIN, "-", str(self.root), "" if self._system else "/usr"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={"PATH": PATH},
            )
        pid = str(eventually(self._inner, what="its first process"))
        _ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", pid)
        _ip("addr", "add", f"{self.outside}/30", "dev", self._link)
        _ip("link", "set", self._link, "up")
        within = ["nsenter", "--target", pid, "--net", "ip"]
        for words in (
            ["addr", "add", f"{self.address}/30", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
        ):
            subprocess.run([*within, *words], check=True)
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.close()
        eventually(self._answers, what="its sshd answers")

    def _inner(self) -> int | None:
        assert self._process is not None
        import psutil

        found = psutil.Process(self._process.pid).children()
        return found[0].pid if found else None

    def _answers(self) -> bool:
        import socket

        assert self._process is not None
        assert self._process.poll() is None, (self.root.parent / "sshd.log").read_text()
        with (
            contextlib.suppress(OSError),
            socket.create_connection((self.address, self.port), timeout=5) as stream,
        ):
            return stream.recv(4) == b"SSH-"
        return False

    def _furnish(self) -> None:
        if self._system is None:
            self._borrow()
        else:
            subprocess.run(["cp", "-a", f"{self._system}/.", str(self.root)], check=True)
            (self.root / "run/sshd").mkdir(exist_ok=True)
            (self.root / "root/.ssh").mkdir(exist_ok=True)
        etc = self.root / "etc"
        (etc / "ssh/key").write_text(self.host_key)
        (etc / "ssh/key").chmod(0o600)
        if self._password:
            line = f"root:{crypted(self._password)}:19000:0:99999:7:::\n"
            (etc / "shadow").write_text(line)
        keys = self.root / "root/.ssh/authorized_keys"
        keys.write_text(public_line(self.user_key) + "\n")
        keys.chmod(0o600)
        (etc / "ssh/sshd_config").write_text(
            f"ListenAddress {self.address}\nHostKey /etc/ssh/key\nUsePAM no\nPermitRootLogin yes\n"
            f"UseDNS no\nPidFile none\n{PASSWORDS if self._password else KEYS}"
        )

    def _borrow(self) -> None:
        """Folders and users of its own around this machine's programs."""
        for name in FOLDERS:
            (self.root / name).mkdir(parents=True)
        for name, target in LINKS.items():
            (self.root / name).symlink_to(target)
        (self.root / "tmp").chmod(0o1777)
        (self.root / "root").chmod(0o700)
        etc = self.root / "etc"
        for name in COPIED:
            source = Path("/etc") / name
            if source.exists():
                shutil.copy(source, etc / name)
        sshd = "sshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n"
        (etc / "passwd").write_text(f"root:x:0:0:root:/root:/bin/sh\n{sshd}")
        (etc / "shadow").write_text("root:*:19000:0:99999:7:::\n")
        (etc / "group").write_text("root:x:0:\nnogroup:x:65534:\n")
        (etc / "gshadow").write_text("root:*::\n")
        (etc / "hosts").write_text("127.0.0.1 localhost\n")
        (etc / "nsswitch.conf").write_text(
            "passwd: files\ngroup: files\nshadow: files\nhosts: files\n"
        )

    def stop(self) -> None:
        """End it with all that runs in it; its network goes with it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGKILL)  # what is within is its own, and ends with it
        process.wait(60)
        subprocess.run(["ip", "link", "del", self._link], capture_output=True, check=False)

    # --- what is there

    def files(self) -> set[str]:
        """Every path of it, but for what the kernel and sshd keep, and programs that are not its own."""
        found = set()
        own = ["usr"] if self._system else []
        for top in ("etc", "opt", "root", "home", "var", "tmp", "run", *own):
            for path in (self.root / top).rglob("*"):
                found.add(str(path.relative_to(self.root)))
        return found

    def processes(self) -> list[str]:
        """Command lines of what runs there, but for sshd's own."""
        import psutil

        assert self._process is not None
        found = []
        for each in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                words = " ".join(each.cmdline())
                if words and "sshd" not in words:
                    found.append(words)
        return found


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def crypted(password: str) -> str:
    """As /etc/shadow has it."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    made: bytes = library.crypt(password.encode(), f"$6${secrets.token_hex(8)}$".encode())
    return made.decode()


@contextlib.contextmanager
def private_root(password: str = "") -> Iterator[PrivateRoot]:
    """One for the length of a block."""
    folder = Path(tempfile.mkdtemp(prefix="dts-root-"))
    folder.chmod(0o755)
    system = os.environ.get("DTS_TEST_SYSTEM")
    made = PrivateRoot(folder / "root", Path(system) if system else None, password)
    made.root.mkdir()
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
