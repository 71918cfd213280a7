"""What the audit answers with: its records, what a look at all of it found, where its chains stand."""

from datetime import datetime
from typing import Any

from dts_core.model import ChainHead, Operation
from dts_core.views.base import View

FINDINGS_MAX = 200
"""Findings that one answer names; the others are counted."""
UNCHAINED = "unchained"
"""Kind of a finding: a record without a chain behind others that have one."""


class OperationView(Operation, kw_only=True, frozen=True):
    """An operation as the audit shows it."""


class OperationList(View, frozen=True):
    """GET /admin/operations: newest first."""

    items: list[OperationView]
    next: int = 0
    """Older ones: this as `before`, asked for newer ones as `after`; 0 at the end."""


class Finding(View, frozen=True):
    """Something in the audit that is not as it was written."""

    kind: str
    """edited | removed | reordered | swapped | doubled | cut | unchained"""
    text: str
    """In words."""
    position: int = 0
    """Of the record; 0: it is not there."""
    chain: str = ""
    number: int = 0


class Unchained(View, frozen=True):
    """The records of versions without chains."""

    count: int = 0
    digest: str = ""
    """sha256 in hex over all of them, by position."""


class Checkpoint(View, frozen=True):
    """Where every chain of the audit stood; to be kept where whoever writes the database cannot write."""

    taken_at: datetime
    records: int
    """How many there were."""
    heads: list[ChainHead]
    unchained: Unchained = Unchained()


class Verification(View, frozen=True):
    """POST /admin/operations/verify."""

    records: int
    chains: int
    unchained: int
    """Records of versions without chains; nothing is proved of them but by a checkpoint."""
    findings: list[Finding]
    """The first FINDINGS_MAX, by position."""
    total: int
    """How many findings there are."""


class Difference(View, frozen=True):
    """GET /admin/operations/difference: what changed in a document between two of its revisions."""

    collection: str
    doc_id: str
    of: int
    """The revision that is compared; 0: before it was created."""
    to: int
    changes: dict[str, Any]
    """field -> [there, here]; secrets as a keyed hash"""
