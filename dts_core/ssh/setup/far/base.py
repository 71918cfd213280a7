"""What the steps share: where things lie, files written as a whole, digests that tell nothing, commands."""

import contextlib
import grp
import hashlib
import hmac
import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional


class Failed(Exception):
    """A step could not be done; one line for people."""


class Place:
    """Where things lie on this host, and whose they are.

    Args:
        given: `program`, `config`, `data`, `unit`: paths, `~` for the home of whoever runs this; `account`: name of the
            system user that runs the worker, empty for the one who logged in; `manager`: systemd, systemd-user,
            supervised, or empty for whatever suits this host.
    """

    def __init__(self, given: "dict[str, str]") -> None:
        self.program = Path(given["program"]).expanduser()
        self.config = Path(given["config"]).expanduser()
        self.data = Path(given["data"]).expanduser()
        self.unit = Path(given["unit"]).expanduser()
        self.account = given["account"]
        self.manager = given["manager"] or self._suiting()

    def _suiting(self) -> str:
        if not Path("/run/systemd/system").is_dir():
            return "supervised"
        return "systemd" if self.account else "systemd-user"

    @property
    def current(self) -> Path:
        """The link to the version that runs."""
        return self.program / "current"

    @property
    def run(self) -> Path:
        """Where the supervisor keeps its lock, its log, and what it was started with."""
        return self.program / "run"

    def owner(self) -> "tuple[int, int]":
        """User and group that the worker runs as.

        Raises:
            Failed: The account is not there (any more).
        """
        if not self.account:
            return os.getuid(), os.getgid()
        try:
            found = pwd.getpwnam(self.account)
        except KeyError:
            raise Failed(f"there is no user {self.account}") from None
        return found.pw_uid, found.pw_gid


def write_whole(path: Path, data: bytes, mode: int, group: int = -1) -> None:
    """Write a file so that a reader, or a cut, finds the old one or the new one."""
    draft = path.with_name(f".{path.name}.dts-new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as out:
        os.fchmod(out.fileno(), mode)
        if group >= 0 and os.geteuid() == 0:
            os.fchown(out.fileno(), 0, group)
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)


def digest_of(path: Path, salt: str) -> str:
    """A keyed digest of a file, its mode included; empty when there is none."""
    try:
        data = path.read_bytes()
        mode = path.stat().st_mode & 0o777
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return digest(data, mode, salt)


def digest(data: bytes, mode: int, salt: str) -> str:
    """As the control side computes it: the salt is new for each visit, so it gives no secret away."""
    return hmac.new(salt.encode(), b"%o:" % mode + data, hashlib.sha256).hexdigest()


def command(argv: "Sequence[str]", seconds: float = 60.0) -> "tuple[int, str]":
    """Run a command; its status and the last of what it printed. 127: it is not there."""
    try:
        ended = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
            env=environment(),
        )
    except FileNotFoundError:
        return 127, f"{argv[0]} is not there"
    except subprocess.TimeoutExpired:
        return 124, f"{argv[0]} took longer than {seconds:g} s"
    return ended.returncode, ended.stdout.decode("utf-8", "replace").strip()[-2000:]


def must(argv: "Sequence[str]", seconds: float = 60.0) -> str:
    """The same, when it has to succeed; what it printed.

    Raises:
        Failed: It did not.
    """
    status, said = command(argv, seconds)
    if status:
        raise Failed(f"{' '.join(argv)} ended with {status}: {said or 'without a word'}")
    return said


def environment() -> "dict[str, str]":
    """For commands: the user's own manager needs to be found, also where no session has set it."""
    found = dict(os.environ, LC_ALL="C")
    found.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    path = found.get("PATH", os.defpath)
    if "/usr/sbin" not in path.split(":"):
        found["PATH"] = f"{path}:/usr/local/sbin:/usr/sbin:/sbin"
    return found


def account_of(name: str) -> "Optional[dict[str, Any]]":
    """A user of this host; None when there is none."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return {"name": name, "group": grp.getgrgid(found.pw_gid).gr_name}
