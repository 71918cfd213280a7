"""The audit: its records, the difference between two states of a document, whether all of it is as it was written."""

from datetime import datetime

from dts_core.clients.describe import Request, get, segment, write
from dts_core.views.operations import (
    Checkpoint,
    Difference,
    OperationList,
    OperationView,
    Verification,
)

WHOLE_SECONDS = 900.0
"""For an answer that the whole audit is read for."""


def operations(
    *,
    collection: str = "",
    doc_id: str = "",
    operator: str = "",
    op_type: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    refused: bool = False,
    before: int = 0,
    after: int = 0,
    limit: int = 50,
) -> Request[OperationList]:
    """The audit, newest first; `before` the page's `next` for older ones, `after` a position for newer ones."""
    query = {
        "collection": collection,
        "doc_id": doc_id,
        "operator": operator,
        "op_type": op_type,
        "since": since,
        "until": until,
        "refused": refused,
        "before": before,
        "after": after,
        "limit": limit,
    }
    return get("/admin/operations", OperationList, query)


def operation(key: str) -> Request[OperationView]:
    """One operation, by its id or its position."""
    return get(f"/admin/operations/{segment(key)}", OperationView)


def operation_difference(collection: str, doc_id: str, *, of: int, to: int) -> Request[Difference]:
    """What changed in a document between two revisions; 0 is before it was created."""
    # Not by `get`, which leaves out what is 0.
    query = {"collection": collection, "doc_id": doc_id, "from": str(of), "to": str(to)}
    return Request(
        method="GET", path="/admin/operations/difference", answer=Difference, query=query
    )


def verify_operations(checkpoint: Checkpoint | None = None) -> Request[Verification]:
    """Have the whole audit read and compared with its chains, and with a checkpoint."""
    body = {"checkpoint": checkpoint}
    return write(
        "POST", "/admin/operations/verify", Verification, body, timeout_seconds=WHOLE_SECONDS
    )


def operations_checkpoint(*, accept_unchained: bool = False) -> Request[Checkpoint]:
    """Where every chain of the audit stands; refused (409) when the audit is not as it was written."""
    query = {"accept_unchained": accept_unchained}
    path = "/admin/operations/checkpoint"
    return get(path, Checkpoint, query, timeout_seconds=WHOLE_SECONDS)
