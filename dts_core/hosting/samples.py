"""The functions that ship with dts, as namespace `sample`."""

import asyncio
import logging
from pathlib import Path
from typing import Final

from dts_core.errors import Conflict, DtsError
from dts_core.resources import etc_folder
from dts_core.services.container import Services
from dts_core.services.users import LOCAL

__all__ = ["NAMESPACE", "add_samples"]

NAMESPACE: Final = "sample"
_log = logging.getLogger(__name__)


async def add_samples(services: Services) -> None:
    """Make the namespace, open to every user as submitter, with its functions. What is there already stays."""
    body = {
        "_id": NAMESPACE,
        "description": "Functions that ship with dts, to try it out.",
        "members": {"*": "submitter"},
    }
    try:
        await services.namespaces.create(LOCAL, body)
    except Conflict:
        _log.debug("namespace %s is there already", NAMESPACE)
    for name, source in await asyncio.to_thread(_sources):
        try:
            await services.functions.create(
                LOCAL, {"_id": f"{NAMESPACE}/{name}", "source": source, "note": "ships with dts"}
            )
        except Conflict:
            _log.debug("sample function %s is there already", name)
        except DtsError as error:  # one that is refused must not keep the server from starting
            _log.warning("sample function %s was not added: %s", name, error)


def _sources() -> list[tuple[str, str]]:
    files = sorted((etc_folder() / "functions").glob("[a-z]*.py"))
    return [(file.stem, _text(file)) for file in files]


def _text(file: Path) -> str:
    return file.read_text("utf-8")
