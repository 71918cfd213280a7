"""Calls of functions written in a test, for the pool of children."""

import hashlib
import json
import textwrap
from typing import Any

from dts_core.children import Call
from dts_core.names import new_id


def call_of(source: str, *args: Any, **fields: Any) -> Call:
    """A call of the function in `source`; async when its `main` is, unless `is_async` says otherwise."""
    text = textwrap.dedent(source).encode()
    given: dict[str, Any] = {
        "id": new_id(),
        "function": "test/function",
        "hash": hashlib.sha256(text).hexdigest(),
        "source": text,
        "is_async": b"async def main" in text,
        "args": json.dumps(args).encode(),
        "grace_seconds": 0.2,
    }
    return Call(**(given | fields))


class Heard:
    """What a call said while it ran."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []
        self.progress: list[tuple[float, str]] = []

    def on_log(self, _: Call, level: int, text: str) -> None:
        self.lines.append((level, text))

    def on_progress(self, _: Call, fraction: float, text: str) -> None:
        self.progress.append((fraction, text))

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.lines]
