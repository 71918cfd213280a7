"""What the commands of `dts admin` share: TOML, files with secrets, the line that tells of a write."""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dts_core.cli.client_common import Where, print_json, print_line
from dts_core.errors import ConfigError
from dts_core.plain.toml import tables_to_toml, to_toml
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.views import Written

__all__ = ["print_toml", "read_secret_file", "read_small_file", "written_line"]

SECRET_MAX: Final = 1 << 16
_DONE: Final = {"create": "created", "update": "changed", "delete": "removed"}


def print_toml(table: Mapping[str, Any]) -> None:
    """Print a table of plain values as TOML; lists of tables as `[[name]]`. Null is left out."""
    plain = {name: value for name, value in table.items() if not _is_tables(value)}
    lists = [tables_to_toml(name, value) for name, value in table.items() if _is_tables(value)]
    text = "\n".join([each for each in (to_toml(plain), *lists) if each]).rstrip("\n")
    if sys.stdout.isatty():
        print_line(text)
    else:
        click.echo(text)


def read_secret_file(path: Path) -> str:
    """The text of a small file that others cannot read. Raises as `read_small_file`, and when they can."""
    return read_small_file(path, is_secret=True)


def read_small_file(path: Path, *, is_secret: bool = False, most: int = SECRET_MAX) -> str:
    """The text of a small file, whatever is in it.

    Raises:
        ConfigError: It cannot be read, is larger than `most` bytes, or no UTF-8; tells nothing of its content.
    """
    shown = clean(str(path))
    try:
        with path.open("rb") as stream:
            if is_secret:
                _check_mode(os.fstat(stream.fileno()), shown)
            data = stream.read(most + 1)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}.", file=shown) from error
    if len(data) > most:
        raise ConfigError(f"has more than {most} bytes.", file=shown)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError("is no text (UTF-8).", file=shown) from None


def _check_mode(status: os.stat_result, shown: str) -> None:
    """Let pass a file that is its owner's alone; what is no file, such as a pipe, nobody else reads twice."""
    if sys.platform == "win32":  # there modes say nothing of who may read
        message = f"dts: others may be able to read {shown}: look at its access list"
        click.echo(message, err=True)
    elif stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"others may read this file (mode {stat.S_IMODE(status.st_mode):04o}).",
            file=shown,
            advice="chmod 600 it, and think of the secret as known: change it soon.",
        )


def written_line(where: Where, written: "Written") -> None:
    """Tell of a write: one line, or JSON."""
    if where.as_json:
        print_json(written)
        return
    done = _DONE.get(written.operation, written.operation)
    print_line(f"{clean(done)} {clean(written.id)}, revision {written.revision}")


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)
