"""The keys of the vault: which are still needed, and their rotation, page by page."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec

from dts_core.errors import Conflict, KeyMissing, NotFound, SealBroken, VaultError
from dts_core.services.access import Caller
from dts_core.services.admin import AdminWriter
from dts_core.services.documents import Collection
from dts_core.stores.base import Store
from dts_core.vault import Place, Vault, key_of, new_key
from dts_core.views import RotateRequest, RotateView, VaultKeyView, VaultView

__all__ = ["VaultKeys"]

TRIES: Final = 3
"""Times a document is sealed anew that somebody else changes meanwhile."""
_PAGE: Final = 500
COLLECTION: Final = "vault"
"""What operations on keys are recorded under."""
ROTATE: Final = "rotate"


class VaultKeys:
    """Only administrators come here.

    Args:
        store: Where sealed secrets lie.
        writer: Writes documents with their operation.
        vault: None where there is no key file.
        sealed: The collections that hold sealed fields, and which.
    """

    def __init__(
        self,
        store: Store,
        writer: AdminWriter,
        vault: Vault | None,
        sealed: Sequence[tuple[Collection[Any], Sequence[str]]],
    ) -> None:
        self._store = store
        self._writer = writer
        self._vault = vault
        self._sealed = sorted(sealed, key=lambda each: each[0].name)

    async def status(self) -> VaultView:
        """The keys, and how many secrets each is needed for. The key file is read again first.

        Raises:
            KeyMissing: There is no key file.
            ConfigError: The file cannot be read any more.
        """
        vault = self._needed()
        ring = await asyncio.to_thread(vault.file.read)
        used: Counter[str] = Counter()
        damaged = 0
        async for _, value in self._values():
            try:
                used[key_of(value)] += 1
            except SealBroken:
                damaged += 1
        keys = [
            VaultKeyView(id=key.id, sealed=used.pop(key.id, 0), is_first=key == ring.first)
            for key in ring.keys
        ]
        keys += [VaultKeyView(id=each, sealed=used[each], in_file=False) for each in sorted(used)]
        return VaultView(file=str(vault.file.path), keys=keys, damaged=damaged)

    async def rotate(self, caller: Caller, request: RotateRequest) -> RotateView:
        """One page of a rotation: a new key, then every secret sealed with it.

        The page without a cursor adds the key, unless secrets still wait for the present first one: then an earlier
        rotation was cut off, or the key was added by hand, and this one finishes it. Every page may be repeated.

        Raises:
            KeyMissing: There is no key file.
            ConfigError: The file cannot be read or written.
            Conflict: Other servers have copies of the file, and no key was added by hand.
        """
        vault = self._needed()
        await asyncio.to_thread(vault.file.read)
        added = not request.cursor and await self._begin(caller, vault)
        collection, documents, following = await self._page(request)
        sealed, failed = 0, []
        for document in documents:
            done, is_whole = await self._seal_anew(caller, vault, collection, document.id)
            sealed += done
            if not is_whole:
                failed.append(f"{collection.name}/{document.id}")
        return RotateView(
            key=vault.ring.first.id, added=added, sealed=sealed, failed=failed, next=following
        )

    async def _begin(self, caller: Caller, vault: Vault) -> bool:
        """Add a key, unless a rotation waits to be finished."""
        async for place, value in self._values():
            if _waits(vault, place, value):
                return False
        if vault.is_shared:
            raise Conflict(
                "other servers have copies of the key file: no key is added to this one alone.",
                advice="`dts admin vault new-key FILE --first`, copy the file to every server, then rotate.",
            )
        key = new_key()
        await self._writer.record(
            caller, COLLECTION, key.id, ROTATE, {"first": [vault.ring.first.id, key.id]}
        )
        await asyncio.to_thread(lambda: vault.file.add(key, is_first=True))
        return True

    async def _page(self, request: RotateRequest) -> tuple[Collection[Any], list[Any], str]:
        """Documents of one collection after the cursor, and the cursor of the next page."""
        name, _, after = request.cursor.partition("/")
        left = [each for each in self._sealed if each[0].name >= name]
        for at, (collection, _) in enumerate(left):
            start = after if collection.name == name else ""
            found, more = await collection.page(self._store, after=start, limit=request.limit)
            if found:
                is_end = not more and at == len(left) - 1
                return collection, found, "" if is_end else f"{collection.name}/{found[-1].id}"
        return self._sealed[0][0], [], ""

    async def _seal_anew(
        self, caller: Caller, vault: Vault, collection: Collection[Any], doc_id: str
    ) -> tuple[int, bool]:
        """Seal a document's secrets with the first key: how many, and whether none is left."""
        for _ in range(TRIES):
            before = await collection.find(self._store, doc_id)
            if before is None:
                return 0, True
            changed, is_whole = _anew(vault, collection, before, self._fields(collection))
            if not changed:
                return 0, is_whole
            after = msgspec.structs.replace(before, **changed)
            try:
                await self._writer.write(caller, collection, before, after, op_type=ROTATE)
            except Conflict:
                continue
            except NotFound:
                return 0, True
            return len(changed), is_whole
        return 0, False

    def _fields(self, collection: Collection[Any]) -> Sequence[str]:
        return next(fields for each, fields in self._sealed if each.name == collection.name)

    async def _values(self) -> AsyncIterator[tuple[Place, bytes]]:
        """Every sealed value there is."""
        for collection, fields in self._sealed:
            cursor = ""
            while True:
                found, cursor = await collection.page(self._store, after=cursor, limit=_PAGE)
                for document in found:
                    for place, value in _sealed_in(collection, document, fields):
                        yield place, value
                if not cursor:
                    break

    def _needed(self) -> Vault:
        if self._vault is None:
            raise KeyMissing(
                "this server has no vault.",
                advice="Make a key with `dts admin vault new-key FILE` and name it in [vault] key_file.",
            )
        return self._vault


def _sealed_in(
    collection: Collection[Any], document: Any, fields: Sequence[str]
) -> list[tuple[Place, bytes]]:
    return [
        (Place(collection.name, document.id, field), getattr(document, field))
        for field in fields
        if getattr(document, field)
    ]


def _anew(
    vault: Vault, collection: Collection[Any], document: Any, fields: Sequence[str]
) -> tuple[dict[str, bytes], bool]:
    """Fields whose secret was sealed with another key than the first, sealed with that; and whether all opened."""
    changed: dict[str, bytes] = {}
    is_whole = True
    for place, value in _sealed_in(collection, document, fields):
        try:
            if not vault.is_fresh(value):
                changed[place.field] = vault.seal(vault.open(value, place), place)
        except VaultError:
            is_whole = False
    return changed, is_whole


def _waits(vault: Vault, place: Place, value: bytes) -> bool:
    """Whether a rotation has this value still to seal."""
    try:
        return not vault.is_fresh(value) and bool(vault.open(value, place))
    except VaultError:
        return False
