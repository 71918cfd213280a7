"""Where a document lies in a folder: COLLECTION/ID.toml, functions/NAMESPACE/NAME.toml. No id leads out of it."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from dts_core.declared.documents import Key
from dts_core.errors import InvalidInput
from dts_core.text import clean

__all__ = ["SUFFIX", "id_of", "path_of"]

SUFFIX: Final = ".toml"
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def path_of(key: Key) -> PurePosixPath:
    """The path of a document's file in the folder.

    Raises:
        InvalidInput: The id is no name of a file: it would lie elsewhere.
    """
    parts = key.id.split("/") if key.collection == "functions" else [key.id]
    depth = 2 if key.collection == "functions" else 1
    if len(parts) != depth or not all(_PART.fullmatch(part) for part in parts):
        raise InvalidInput(
            f"{key.collection} {clean(key.id, 120)!r} cannot be the name of a file.",
            advice="Ask the server's administrator how it came to be called so.",
        )
    return PurePosixPath(key.collection, *parts[:-1], parts[-1] + SUFFIX)


def id_of(parts: Sequence[str]) -> Key | None:
    """Which document the file with these parts of a path declares; None when it is none of a document's."""
    collection, *rest = parts
    depth = 2 if collection == "functions" else 1
    if len(rest) != depth or not rest[-1].endswith(SUFFIX):
        return None
    names = [*rest[:-1], rest[-1].removesuffix(SUFFIX)]
    if not all(_PART.fullmatch(name) for name in names):
        return None
    return Key(collection, "/".join(names))
