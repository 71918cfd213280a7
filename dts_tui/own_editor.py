"""A text in the editor of one's choice, while the console steps aside."""

import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Final

from textual.app import SuspendNotSupported

from dts_tui.lending import Suspend, lend

TEXT_MAX: Final = 4 << 20
"""Most bytes that are read back."""


class EditorFailed(Exception):
    """The editor gave no text; the message says why, for people."""


def chosen_editor() -> str:
    """$VISUAL or $EDITOR; empty when neither is set."""
    return os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""


def edit_outside(text: str, name: str, suspend: Suspend) -> str:
    """The text as it was left in $VISUAL, $EDITOR, or vi.

    It lies in a file of mode 0600 in a folder of its own, which is gone afterwards.

    Args:
        text: What is edited; never a secret.
        name: Of the file, whose ending tells the editor what it is.
        suspend: Makes the console step aside.

    Raises:
        EditorFailed: There is no editor, it did not start, it ended with a status that says so, or left no text.
    """
    command = chosen_editor() or shutil.which("vi") or ""
    if not command:
        raise EditorFailed("there is no editor: set $VISUAL or $EDITOR")
    with tempfile.TemporaryDirectory(prefix="dts-") as folder:
        file = Path(folder) / name
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
        _run(command, file, suspend)
        return _read(file)


def _run(command: str, file: Path, suspend: Suspend) -> None:
    try:
        arguments = [*shlex.split(command), str(file)]
        name = Path(arguments[0]).name
        status, _ = lend(arguments, suspend)
    except ValueError as error:
        raise EditorFailed(f"{command} is no command line: {error}") from error
    except OSError as error:
        raise EditorFailed(f"{command} did not start: {error.strerror}") from error
    except SuspendNotSupported as error:
        raise EditorFailed("this terminal cannot be lent to an editor") from error
    if status:
        raise EditorFailed(f"{name} ended with status {status}: nothing was taken over")


def _read(file: Path) -> str:
    try:
        with file.open("rb") as left:
            data = left.read(TEXT_MAX + 1)
    except OSError as error:
        raise EditorFailed(f"the text is gone: {error.strerror}") from error
    if len(data) > TEXT_MAX:
        raise EditorFailed(f"the text has more than {TEXT_MAX >> 20} MiB")
    return data.decode("utf-8", errors="replace")
