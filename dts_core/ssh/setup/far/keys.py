"""Lines of authorized_keys: one added, one taken out, all others left as they are."""

import os
from pathlib import Path

from dts_core.ssh.setup.far.base import write_whole


def authorize(line: str, file: str, like: str = "") -> bool:
    """Let a key in; whether it was not let in before.

    Args:
        line: `[options ]TYPE BASE64[ comment]`.
        file: authorized_keys; `~` is the home of whoever logged in.
        like: `TYPE BASE64` of a key that is let in: the new one gets what else stands in its line.
    """
    path = Path(file).expanduser()
    lines = _lines(path)
    if any(_key(line) == _key(each) for each in lines):
        return False
    for each in lines:
        if like and like in each:
            line = each.replace(like, line)
            break
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(path, [*lines, line])
    return True


def is_authorized(line: str, file: str) -> bool:
    """Whether a key is let in by a line of this file."""
    return any(_key(line) == _key(each) for each in _lines(Path(file).expanduser()))


def unauthorize(line: str, file: str) -> bool:
    """Let a key in no more; whether it was."""
    path = Path(file).expanduser()
    lines = _lines(path)
    kept = [each for each in lines if _key(each) != _key(line)]
    if len(kept) == len(lines):
        return False
    _write(path, kept)
    return True


def _key(line: str) -> str:
    """The base64 of a line, which tells keys apart whatever stands around it."""
    return next((word for word in line.split() if word.startswith("AAAA")), line.strip())


def _lines(path: Path) -> "list[str]":
    try:
        return path.read_text("utf-8", "surrogateescape").splitlines()
    except FileNotFoundError:
        return []


def _write(path: Path, lines: "list[str]") -> None:
    target = Path(os.path.realpath(path))
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    text = "".join(f"{line}\n" for line in lines)
    write_whole(target, text.encode("utf-8", "surrogateescape"), mode)
