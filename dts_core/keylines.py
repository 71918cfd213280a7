"""Public keys in files and settings: one a line; empty lines and what follows a # do not count."""

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

from dts_core.errors import ConfigError, InvalidInput
from dts_core.text import clean

K = TypeVar("K")
FILE_MAX: Final = 1 << 16


def parse_key_lines(
    lines: Iterable[str], parse: Callable[[str], K], *, file: str = "", key: str = ""
) -> list[K]:
    """The keys of some lines.

    Raises:
        ConfigError: A line is none; `file` and `key` say where.
    """
    found = []
    for line in lines:
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            found.append(parse(text))
        except InvalidInput as error:
            raise ConfigError(error.message, file=file, key=key, advice=error.advice) from None
    return found


def read_key_lines(path: Path, parse: Callable[[str], K], *, key: str, power: str) -> list[K]:
    """The keys of a file that its owner alone may write.

    Args:
        path: The file.
        parse: One key from its text.
        key: The setting that names the file.
        power: What somebody who writes the file can do, for the refusal: `say whose code runs here`.

    Raises:
        ConfigError: It cannot be read, others than its owner may write it, or a line is no key.
    """
    shown = clean(str(path))
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            lines = stream.read(FILE_MAX).decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}.", file=shown, key=key) from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"others may write it, and so {power}.",
            file=shown,
            key=key,
            advice=f"chmod go-w {shown}",
        )
    return parse_key_lines(lines, parse, file=shown, key=key)
