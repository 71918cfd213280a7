"""Secrets that another program keeps in files: named by a document, read when they are needed."""

import re
from pathlib import Path
from typing import Final

from dts_core.errors import InvalidInput, KeyMissing
from dts_core.guarded import read_guarded
from dts_core.vault.secret import Secret

__all__ = ["SecretFiles", "is_file_name"]

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}")


def is_file_name(text: str) -> bool:
    """Whether it can name a file in the folder: letters, digits and . _ -, no path."""
    return _NAME.fullmatch(text) is not None


class SecretFiles:
    """The files of one folder; a name never leads out of it.

    Args:
        folder: None where there is none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, name: str) -> Secret:
        """The text of a file without the line feed at its end; blocking.

        Raises:
            KeyMissing: There is no such folder.
            InvalidInput: It is no name of a file.
            ConfigError: The file is not there, not private, or no text.
        """
        if self._folder is None:
            raise KeyMissing(
                "this server has no folder of secrets.", advice="Name one in [vault] secrets_dir."
            )
        if not is_file_name(name):
            raise InvalidInput("that is no name of a file with a secret.")
        content = read_guarded(
            self._folder / name,
            what="the file of a secret",
            missing="Put it there, or store the secret itself.",
            exposed="change the secret: others may have read it.",
        )
        return Secret(content.decode("utf-8", "replace").rstrip("\r\n"))
