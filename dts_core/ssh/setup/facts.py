"""What is known of a host before anything is changed there, and whether it can be a worker."""

import re
from typing import Final

import msgspec

from dts_core.errors import CommandTimedOut, InterpreterUnfit, RemoteError
from dts_core.ssh.session import Session
from dts_core.text import clean, one_line

__all__ = ["CALLS_LEAST", "WORKER_LEAST", "Facts", "without_python"]

CALLS_LEAST: Final = (3, 9)
"""Oldest Python that functions can be called on."""
WORKER_LEAST: Final = (3, 11)
"""Oldest Python that a worker runs on."""
SKEW_MAX_SECONDS: Final = 5.0
DISK_MIN: Final = 400 << 20
SHELL_SECONDS: Final = 20.0
_VERSION: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})(?![0-9])")
_SHELL_FACTS: Final = (
    "uname -s; uname -m; "
    '[ -r /etc/os-release ] && . /etc/os-release; echo "$PRETTY_NAME"; '
    "for each in apt-get dnf yum zypper apk pacman brew; do "
    'command -v "$each" >/dev/null 2>&1 && { echo "$each"; break; }; done'
)
_INSTALL: Final = {
    "apt-get": "apt-get install python3",
    "dnf": "dnf install python3.11",
    "yum": "yum install python3.11",
    "zypper": "zypper install python311",
    "apk": "apk add python3",
    "pacman": "pacman -S python",
    "brew": "brew install python",
}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Told by the host; texts are untrusted until they went through `cleaned`."""

    system: str
    os: str
    arch: str
    libc: str
    python: str
    """Path of the interpreter."""
    python_version: str
    implementation: str
    soabi: str
    platform: str
    missing: list[str]
    """Modules of the standard library that a worker needs and this Python has not."""
    user: str
    uid: int
    home: str
    time: float
    """Its clock, seconds since 1970."""
    cores: int
    memory_bytes: int
    disk_free_bytes: int
    systemd: bool
    user_manager: bool
    """Whether the user's own systemd runs."""
    lingering: bool
    """Whether it runs without a login."""
    sudo: str
    """root, free, asks or none."""
    skew_seconds: float = 0.0
    """How far its clock is ahead of ours, measured across one round trip."""

    def cleaned(self, skew_seconds: float) -> "Facts":
        """With printable texts, and the skew."""
        texts = {
            name: one_line(clean(value), 400)
            for name, value in msgspec.structs.asdict(self).items()
            if isinstance(value, str)
        }
        missing = [one_line(clean(name), 40) for name in self.missing[:20]]
        return msgspec.structs.replace(self, **texts, missing=missing, skew_seconds=skew_seconds)

    @property
    def version(self) -> tuple[int, int]:
        """Of its Python: major and minor; 0 and 0 where it tells none that can be."""
        found = _VERSION.match(self.python_version)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    @property
    def told(self) -> tuple[str, ...]:
        """All that decides which wheels fit: what differs in any of it shares none."""
        return (
            self.system, self.arch, self.libc, self.platform,
            self.python_version, self.implementation, self.soabi,
        )  # fmt: skip

    def hindrances(self) -> list[str]:
        """Why it cannot be a worker, each with what to do."""
        found = []
        if self.version < WORKER_LEAST:
            found.append(
                f"its Python is {self.python_version}, and a worker needs 3.11 or newer: install one, "
                "and name it in the virtual host's `python` (functions can be called there as it is)"
            )
        elif self.implementation != "cpython":
            found.append(f"its Python is {self.implementation}, and a worker needs CPython")
        if self.missing:
            names = ", ".join(self.missing)
            found.append(
                f"its Python has no {names}: install all of it (Debian: `apt-get install python3`)"
            )
        if 0 < self.disk_free_bytes < DISK_MIN:
            free = self.disk_free_bytes >> 20
            found.append(f"{free} MiB are free on its disk: make room for {DISK_MIN >> 20} MiB")
        return found

    def warnings(self) -> list[str]:
        """What a person should know, and what hinders nothing."""
        found = []
        if abs(self.skew_seconds) > SKEW_MAX_SECONDS:
            way = "ahead of" if self.skew_seconds > 0 else "behind"
            found.append(f"its clock is {abs(self.skew_seconds):.0f} s {way} ours: set its time")
        if not self.systemd:
            found.append(
                "systemd does not run there: after a reboot the worker has to be set up again"
            )
        return found


async def without_python(session: Session) -> RemoteError:
    """What to tell where no Python from 3.9 was found: what the host is, and what to install.

    Raises:
        RemoteError: The host cannot be asked.
    """
    host = session.target.id
    try:
        end = await session.run(["sh", "-c", _SHELL_FACTS], timeout=SHELL_SECONDS)
    except CommandTimedOut:
        return InterpreterUnfit(
            "no Python from 3.9 was found, and its shell says nothing", host=host
        )
    lines = [
        one_line(clean(line), 200) for line in end.stdout.decode("utf-8", "replace").split("\n")
    ]
    system, arch, name, manager = [*lines, "", "", "", ""][:4]
    advice = f"Install it there: `{_INSTALL[manager]}`." if manager in _INSTALL else ""
    shown = " ".join(word for word in (name or system, arch) if word)
    return InterpreterUnfit(
        f"{shown or 'it'} has no Python from 3.9 (a worker needs 3.11)", host=host, advice=advice
    )
