"""What the stores share of operations: reading one that may not be as it was written."""

from typing import Final

import msgspec

from dts_core.model import Operation
from dts_core.stores.base import Recorded
from dts_core.stores.fields import instant

_decoder: Final = msgspec.msgpack.Decoder(Operation)
UNREADABLE: Final = "unreadable"
"""As `op_type`: the record is damaged. What the store says of it beside its bytes is all there is."""


def readable(recorded: Recorded) -> Operation:
    """The operation; one that is damaged stays in lists, so that nobody hides a record by breaking it."""
    try:
        return _decoder.decode(recorded.content)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Operation(
            id=recorded.id,
            collection=recorded.collection,
            doc_id=recorded.doc_id,
            op_type=UNREADABLE,
            operator=recorded.operator,
            timestamp=instant(recorded.at),
        )
