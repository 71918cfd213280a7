"""Whose functions a worker runs, while it runs: a new public key counts soon, one that is taken out counts no more."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from dts_core.errors import ConfigError
from dts_core.hosting.trust import listed_keys
from dts_core.settings import WorkerFile
from dts_core.signing import PublicKey, Trust

__all__ = ["LOOK_SECONDS", "KeyWatch"]

LOOK_SECONDS: Final = 2.0
"""How often the file is read."""
_log = logging.getLogger(__name__)


class KeyWatch:
    """Reads the file of public keys again and again. A file that cannot be read changes nothing.

    A key counts as taken out when two looks in a row miss it: an editor may write the file in pieces. A worker that
    verifies goes on to, whatever becomes of the file: without any key left it runs nothing.

    Args:
        settings: Name the file; keys that they list themselves are there for good.
        trust: What they said at the start; None: nothing was to be verified.
        on_change: Told whose signatures count from now on.
    """

    def __init__(
        self, settings: WorkerFile, trust: Trust | None, on_change: Callable[[Trust], None]
    ) -> None:
        self.trust = trust
        self._settings = settings
        self._on_change = on_change
        self._missed: frozenset[str] = frozenset()
        self._trouble = ""
        self._alone = asyncio.Lock()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take in the file as it is now."""
        async with self._alone:
            await self._look(is_asked=False)

    async def look_for_new(self) -> None:
        """Take in new keys now, for a signature by a key that is not known; none is taken out."""
        async with self._alone:
            await self._look(is_asked=True)

    async def _look(self, *, is_asked: bool) -> None:
        try:
            found = {key.id: key for key in await asyncio.to_thread(listed_keys, self._settings)}
        except ConfigError as error:
            self._tell_trouble(str(error))
            return
        self._tell_trouble("")
        known = {} if self.trust is None else self.trust.keys
        missed = frozenset(known) - frozenset(found)
        gone = frozenset() if is_asked else missed & self._missed
        if not is_asked:
            self._missed = missed
        kept = {name: key for name, key in (known | found).items() if name not in gone}
        if kept.keys() != known.keys():
            self._change(kept, came=kept.keys() - known.keys(), gone=gone)

    def _change(
        self, keys: dict[str, PublicKey], *, came: frozenset[str] | set[str], gone: frozenset[str]
    ) -> None:
        for name in sorted(came):
            _log.info("functions that key %s has signed are run from now on", name)
        for name in sorted(gone):
            _log.warning("functions that key %s has signed are not run any more", name)
        if not keys:
            _log.error("no public key is left: nothing is run")
        self.trust = Trust(keys.values())
        self._on_change(self.trust)

    def _tell_trouble(self, trouble: str) -> None:
        if trouble and trouble != self._trouble and self.trust is not None:
            _log.error("the public keys cannot be read, those that are known stay: %s", trouble)
        self._trouble = trouble
