"""Functions, namespaces, users, tokens, and the audit of their writes."""

from datetime import datetime
from typing import Any

from dts_core.model.base import Document


class Parameter(Document, frozen=True, kw_only=True):
    """One parameter of a function's `main`, read by parsing, never by import."""

    name: str
    kind: str
    """positional | keyword | var_positional | var_keyword"""
    type: str = "any"
    """text | integer | number | switch | choice | list | mapping | path | date | datetime | secret | any"""
    annotation: str = ""
    """As written in the source."""
    choices: list[Any] = []
    optional: bool = False
    """May be null."""
    required: bool = True
    default: Any = None
    """A JSON value; `default_text` holds the source when it is no literal."""
    default_text: str = ""
    help: str = ""


class FunctionVersion(Document, frozen=True, kw_only=True):
    """One version of a function, by content."""

    hash: str
    """sha256 of the source, hex"""
    author: str
    created_at: datetime
    note: str = ""
    size: int = 0
    summary: str = ""
    doc: str = ""
    is_async: bool = False
    parameters: list[Parameter] = []


class Function(Document, frozen=True, kw_only=True):
    """A Python module with a `main`, called as namespace/name."""

    id: str
    """namespace/name"""
    namespace: str
    name: str
    owner: str
    default: str
    """Hash of the version that a submission takes when it names none."""
    versions: list[FunctionVersion]
    """Newest last."""
    created_at: datetime
    updated_at: datetime
    revision: int = 1


class Namespace(Document, frozen=True, kw_only=True):
    """Owns functions; its members may submit to them."""

    id: str
    description: str = ""
    members: dict[str, str] = {}
    """user -> role there: admin | operator | submitter | viewer"""
    created_at: datetime
    updated_at: datetime
    revision: int = 1


class User(Document, frozen=True, kw_only=True):
    """Somebody who may ask. `secret_hash` never leaves in any answer."""

    id: str
    role: str = "submitter"
    """admin | operator | submitter | viewer"""
    secret_hash: str = ""
    disabled: bool = False
    created_at: datetime
    updated_at: datetime
    revision: int = 1


class Token(Document, frozen=True, kw_only=True):
    """A reference token, stored by its hash."""

    id: str
    """sha256 of the token, hex"""
    user: str
    created_at: datetime
    expires_at: datetime
    note: str = ""
    seal: str = ""
    """Digest of the user's secret hash at login: a changed secret ends the token."""


class Operation(Document, frozen=True, kw_only=True):
    """The audit record of one write, or of one refused attempt."""

    id: str
    collection: str
    doc_id: str
    op_type: str
    """create | update | replace | delete | login | call"""
    operator: str
    timestamp: datetime
    ops: dict[str, Any] = {}
    """field -> [before, after]; secrets as a keyed hash"""
    request_id: str = ""
    source: str = ""
    refused: str = ""
    """Why it was refused; empty when it was done."""


class QueuePause(Document, frozen=True, kw_only=True):
    """A queue of jobs that hands nothing out; it stands as long as the queue is paused."""

    id: str
    """The queue without the prefix, as jobs name it."""
    by: str
    at: datetime
    revision: int = 1


class HostDrain(Document, frozen=True, kw_only=True):
    """What an operator last wished of a host: that it takes nothing new, or that it takes jobs again."""

    id: str
    """The host."""
    on: bool
    by: str
    at: datetime
    revision: int = 1


class SubmitterRecord(Document, frozen=True, kw_only=True):
    """A user's own record: what they submitted."""

    user: str
    counts: dict[str, int]
    """state -> how many of their jobs stand there"""
    recent: list[str]
    """Ids of their last 50 jobs, newest first."""
