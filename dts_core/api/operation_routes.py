"""Routes of the audit: its records, the history of a document, whether all of it is as it was written."""

from typing import Annotated

import msgspec
from msgspec import Meta

from dts_core.api.endpoint import Call, NoQuery, Permission, Routes
from dts_core.services.operations import OperationQuery
from dts_core.views.operations import (
    Checkpoint,
    Difference,
    OperationList,
    OperationView,
    Verification,
)

routes = Routes()
_Revision = Annotated[int, Meta(ge=0, le=1 << 53)]


class DifferenceQuery(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"of": "from"}
):
    """Which document, and which two of its revisions; 0 is before it was created."""

    collection: str
    doc_id: str
    of: _Revision
    to: _Revision


class CheckpointQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which findings stand in a checkpoint's way."""

    accept_unchained: bool = False
    """Not those of records without a chain: they are known to be an older server's."""


class VerifyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the audit is compared with, beside its own chains."""

    checkpoint: Checkpoint | None = None


@routes.add(
    "GET", "/admin/operations", Permission.ADMIN, query=OperationQuery, answer=OperationList
)
async def list_operations(call: Call[OperationQuery, None]) -> OperationList:
    """The audit, newest first."""
    return await call.services.operations.page(call.query)


@routes.add(
    "GET",
    "/admin/operations/difference",
    Permission.ADMIN,
    query=DifferenceQuery,
    answer=Difference,
)
async def get_difference(call: Call[DifferenceQuery, None]) -> Difference:
    """What changed in a document between two of its revisions."""
    asked = call.query
    return await call.services.operations.difference(
        asked.collection, asked.doc_id, asked.of, asked.to
    )


@routes.add(
    "GET",
    "/admin/operations/checkpoint",
    Permission.ADMIN,
    query=CheckpointQuery,
    answer=Checkpoint,
)
async def get_checkpoint(call: Call[CheckpointQuery, None]) -> Checkpoint:
    """Where every chain of the audit stands, after all of it was read and found whole."""
    return await call.services.operations.checkpoint(accept_unchained=call.query.accept_unchained)


@routes.add(
    "POST", "/admin/operations/verify", Permission.ADMIN, body=VerifyRequest, answer=Verification
)
async def verify_operations(call: Call[NoQuery, VerifyRequest]) -> Verification:
    """Read the whole audit and tell what is not as it was written."""
    return await call.services.operations.verify(call.body.checkpoint)


@routes.add("GET", "/admin/operations/{id}", Permission.ADMIN, answer=OperationView)
async def get_operation(call: Call[NoQuery, None]) -> OperationView:
    """One operation by its id or its position, with what changed field by field."""
    return await call.services.operations.get(call.path("id"))
