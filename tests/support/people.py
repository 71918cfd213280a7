"""Users written straight into a store, without the hashing of a secret."""

from typing import Any

import msgspec

from dts_core.clock import Clock
from dts_core.model import Operation, User
from dts_core.names import new_id
from dts_core.stores.base import Store


async def add_user(store: Store, collection: str, name: str, clock: Clock, **fields: Any) -> None:
    """An administrator, unless `fields` say otherwise."""
    now = clock.now()
    given: dict[str, Any] = {"id": name, "role": "admin", "created_at": now, "updated_at": now}
    user = User(**(given | fields))
    operation = Operation(
        id=new_id(),
        collection=collection,
        doc_id=name,
        op_type="create",
        operator="local",
        timestamp=now,
    )
    await store.write_document(
        collection, name, msgspec.msgpack.encode(user), operation, expected_revision=0
    )
