"""How children are made, and what a worker that dies leaves to a keeper."""

import asyncio

import msgspec

from dts_core.children import orphans
from dts_core.children.keeper import VARIABLE, Keeper
from dts_core.children.process import ChildProcess, Owner
from dts_core.children.settings import ChildrenSettings
from dts_core.children.starts import StartGuard


class Maker:
    """Starts children, as long as they can be started.

    Args:
        settings: Of the pool.
        guard: Counts the starts that fail.
        owner: Who is told what happens in a child.
    """

    def __init__(self, settings: ChildrenSettings, guard: StartGuard, owner: Owner) -> None:
        self._settings = settings
        self._guard = guard
        self._owner = owner
        self._child_settings = settings.child
        self._keeper: Keeper | None = None

    def open(self, folder: str) -> None:
        """Get ready; `folder`, when there is one, is where working folders are made in place of the settings' own."""
        if folder:
            self._child_settings = msgspec.structs.replace(self._child_settings, folder=folder)
        if self._settings.adopt_orphans:
            orphans.become_subreaper()
            self._keeper = Keeper()
            self._child_settings = msgspec.structs.replace(
                self._child_settings, variables=self._child_settings.variables | self.marks
            )

    @property
    def marks(self) -> dict[str, str]:
        """Variables that mark a process as one that ends with us; empty without a keeper."""
        return {} if self._keeper is None else {VARIABLE: self._keeper.token}

    def make(self, *, shared: bool, python: str = "") -> ChildProcess | None:
        """A new child; None when none can be started now.

        Args:
            shared: Whether asynchronous calls share it.
            python: Its interpreter; empty: the pool's own, whose failures end in the pool's giving up.

        Raises:
            OSError: This other interpreter cannot be started.
        """
        if not self._guard.open:
            return None
        try:
            child = ChildProcess(
                self._owner,
                self._child_settings,
                shared=shared,
                frame_max=self._settings.result_max,
                python=python,
            )
        except OSError as error:
            if python:
                raise
            self._guard.failed(str(error))
            return None
        if self._keeper is not None:
            self._keeper.began(child.pid)
        return child

    def ended(self, child: ChildProcess, living: list[int]) -> None:
        """A child is gone: what it left behind goes too, save the processes in `living`."""
        if self._keeper is not None:
            orphans.sweep([*living, self._keeper.pid])
            self._keeper.ended(child.pid)

    async def close(self) -> None:
        """Let the keeper go."""
        if self._keeper is not None:
            await asyncio.to_thread(self._keeper.close)
