"""The control side that the two URLs of a configuration name."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from dts_core.places import Layout
from dts_core.settings import ServerFile
from dts_core.wiring.ports import Control, Waiting

__all__ = ["open_control"]


def open_control(
    layout: Layout, folder: Path, settings: ServerFile, waiting: Waiting
) -> AbstractAsyncContextManager[Control]:
    """The server's part of it, opened by `async with`.

    Args:
        layout: The engine.
        folder: The data folder, prepared, its OwnerLock held.
        settings: server.toml.
        waiting: For partners that are not there yet.
    """
    if layout.folder is not None:
        from dts_core.wiring.owner import open_owner

        return open_owner(folder, settings, waiting=waiting)
    from dts_core.wiring.server import open_server

    return open_server(folder, settings, waiting)
