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
    secret: bool = False
    """Whether what is given is sealed: its annotation says Secret, by itself or within another type."""

    @property
    def is_secret(self) -> bool:
        """As `secret`, which versions of before do not have."""
        return self.secret or self.type == "secret"


class Signature(Document, frozen=True, kw_only=True):
    """That a version belongs to a function, said by a key; `dts_core.signing` makes and checks it."""

    key: str
    """Id of the key: the first 16 hex digits of the public key's sha256."""
    value: bytes


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
    requires_python: str = ""
    """Of its script block (PEP 723); empty: any."""
    dependencies: list[str] = []
    """Requirements of its script block, normalised and sorted."""
    signature: Signature | None = None
    """None: written before there were signatures, or by a server without a key."""

    @property
    def signed_by(self) -> str:
        """Id of the key that signed it; empty when nobody has."""
        return "" if self.signature is None else self.signature.key


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
    canary: str = ""
    """Hash of the version that is tried beside the default one; empty: none is."""
    canary_share: float = 0.0
    """Share of the jobs that run it wherever they run, 0..1."""
    canary_hosts: list[str] = []
    """Hosts that run it in place of the default one."""


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
    address: str = ""
    """Where mail for them goes; empty: they get none."""
    groups: list[str] = []
    """Names of the groups whose mail they get."""
    tokens_ended: int = 0
    """How often all of their tokens were ended: by disabling them, or on purpose."""
    created_at: datetime
    updated_at: datetime
    revision: int = 1


class Token(Document, frozen=True, kw_only=True):
    """A reference token, stored by its hash: of a login, or an access token, which has a name and a scope."""

    id: str
    """sha256 of the token, hex"""
    user: str
    created_at: datetime
    expires_at: datetime
    note: str = ""
    seal: str = ""
    """Digest of the user's secret hash, and of what else ends the token when it changes."""
    name: str = ""
    scope: str = ""
    """read | submit | operate | admin; empty: of a login, whatever the user may do."""
    namespaces: list[str] | None = None
    """Those that it is limited to; None: no limit."""
    parent: str = ""
    """Id of the access token that it was made with: it ends with that one."""
    revision: int = 1


class ChainHead(Document, frozen=True, kw_only=True):
    """The newest record of a chain of operations, as somebody saw it."""

    chain: str
    number: int
    position: int
    digest: str


class Operation(Document, frozen=True, kw_only=True):
    """The audit record of one write, or of one refused attempt.

    Each belongs to a chain, one of each process that writes; records of versions without chains belong to none.
    """

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
    revision: int = 0
    """The document's revision after it; a removal counts as one. 0: refused, no document, or not known."""
    position: int = 0
    """Where it lies in the store."""
    chain: str = ""
    """Id of its chain; empty: none."""
    number: int = 0
    """In the chain, from 1 without gaps."""
    previous: str = ""
    """`digest` of the one before it in the chain; empty for the first."""
    heads: list[ChainHead] = []
    """Of other chains: what its writer knew of them and no record of its own has named yet."""
    digest: str = ""
    """sha256 in hex over everything else, `chains.digest_of`."""


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
