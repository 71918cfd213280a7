"""The audit: who wrote what, and who was refused."""

import msgspec

from dts_core.stores.base import Store
from dts_core.views import OperationList, OperationView


class Operations:
    """Append-only; written with each write by `admin.AdminWriter`, read here."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(
        self, *, collection: str = "", doc_id: str = "", before: int = 0, limit: int = 50
    ) -> OperationList:
        """The newest first; `before` a position pages on."""
        rows = await self._store.operations(
            collection=collection, doc_id=doc_id, before=before, limit=limit
        )
        items = [
            OperationView(position=position, **msgspec.structs.asdict(operation))
            for position, operation in rows
        ]
        return OperationList(items=items)
