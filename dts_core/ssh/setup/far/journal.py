"""What was begun and what was made here, kept beside the program: what a cut left is known, and what to take away."""

import contextlib
import json
from pathlib import Path
from typing import Any

from dts_core.ssh.setup.far.base import Place, write_whole


class Journal:
    """Of one host. Written before and after each step."""

    def __init__(self, place: Place) -> None:
        self._path = place.program / "journal.json"
        self._kept: dict[str, Any] = {"made": [], "did": {}, "step": "", "state": ""}
        with contextlib.suppress(OSError, ValueError):  # none yet, or one that a dying disk left
            self._kept.update(json.loads(self._path.read_text()))

    @property
    def cut_at(self) -> str:
        """The step that was begun and not ended; empty: none."""
        return self._kept["step"] if self._kept["state"] == "begun" else ""

    @property
    def made(self) -> "list[str]":
        """Folders that were made here, outermost first."""
        return list(self._kept["made"])

    @property
    def did(self) -> "dict[str, Any]":
        """Other things that were done, and have to be undone."""
        return dict(self._kept["did"])

    def begin(self, step: str) -> None:
        """A step is about to change something."""
        self._kept.update(step=step, state="begun")
        self._write()

    def end(self, step: str) -> None:
        """It is done, and was looked at."""
        self._kept.update(step=step, state="done")
        self._write()

    def note(self, name: str, value: Any) -> None:
        """Keep that something was done."""
        if self._kept["did"].get(name) != value:
            self._kept["did"][name] = value
            self._write()

    def make(self, folder: Path, mode: int) -> None:
        """Make a folder with those above it that are missing, noted before they are made."""
        missing = []
        each = folder
        while not each.exists():
            missing.append(each)
            each = each.parent
        fresh = [str(path) for path in reversed(missing) if str(path) not in self._kept["made"]]
        self._kept["made"].extend(fresh)
        if fresh and self._path.parent.is_dir():
            self._write()
        for path in reversed(missing):
            path.mkdir()
            path.chmod(mode if path == folder else 0o755)  # whatever the mask is
        if fresh:
            self._write()

    def _write(self) -> None:
        if self._path.parent.is_dir():
            write_whole(self._path, json.dumps(self._kept).encode(), 0o600)
