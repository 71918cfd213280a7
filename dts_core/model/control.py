"""Messages of the control side: sources, orders to workers, changes, figures of queues."""

from datetime import datetime

import msgspec

from dts_core.model.admin import Signature
from dts_core.model.base import Document, Record
from dts_core.model.jobs import JobError


class SourceRequest(Record, frozen=True, tag="source"):
    """A worker asks for the source of a version."""

    hash: str
    offset: int = 0
    function: str = ""
    """namespace/name that it is to be run as; empty: the worker asks for no signature."""


class SourceReply(Record, frozen=True):
    """One chunk of it; `total` 0 when it is unknown."""

    hash: str
    total: int
    offset: int
    data: bytes
    signature: Signature | None = None
    """With the first chunk, where the function was named and its version is signed."""
    signers: list[str] = []
    """To a question that names no hash: the ids of the keys that servers sign with now."""
    sealers: list[str] = []
    """To the same: the keys that servers seal secret arguments to now, as `Sealer.names` has them."""


CHUNK_MAX = 512 << 10
"""Size of every chunk but the last, in bytes."""


class BlobChunk(Record, frozen=True, tag="chunk"):
    """A worker hands over a piece of a result that is too large for a message."""

    hash: str
    """sha256 in hex of the whole."""
    total: int
    offset: int
    """A multiple of CHUNK_MAX."""
    data: bytes
    """CHUNK_MAX bytes; what is left at the end."""
    job: str
    epoch: int


class ClaimItem(msgspec.Struct, frozen=True, array_like=True):
    """One job that a worker wants to start; see `brokers.base.ClaimRequest`."""

    job: str
    redelivered: bool = False
    epoch: int = 0
    queue: str = ""
    """Where its message came from, without the prefix."""
    lease: int = 0
    """What a former answer said of the claim that stands against it."""


class ClaimsRequest(Record, frozen=True, tag="claims"):
    """A worker on a broker that knows no claims asks for them, batched over its prefetch."""

    host: str
    worker: str
    items: list[ClaimItem]


class ClaimGrant(msgspec.Struct, frozen=True, array_like=True):
    """The answer to one item; see `brokers.base.ClaimAnswer`."""

    verdict: str
    epoch: int = 0
    attempt: int = 0
    retry_after_seconds: float = 0.0
    lease: int = 0


class ClaimsReply(Record, frozen=True):
    """One answer to each item, in order."""

    answers: list[ClaimGrant]


class HeldRequest(Record, frozen=True, tag="held"):
    """A worker that was away asks which of its claims are still its own."""

    host: str
    worker: str
    claims: list[tuple[str, int]]


class HeldReply(Record, frozen=True):
    """One answer to each claim, in order; `unheld` was granted to this worker and is not among them."""

    mine: list[bool]
    unheld: list[tuple[str, int]] = []


Question = SourceRequest | BlobChunk | ClaimsRequest | HeldRequest
"""The body in `requests`."""


class BlobReply(Record, frozen=True):
    """How much of the whole is kept."""

    hash: str
    received: int
    """Bytes from the start without a gap: go on there. `total` once the whole is there and proved."""
    error: JobError | None = None
    """The whole is refused for this, however often it is sent."""
    is_late: bool = False
    """The claim is over: nobody wants its result any more."""


class Cancel(Record, frozen=True, tag="cancel"):
    """Control: stop a job if you hold it."""

    job: str
    by: str = ""


class Holders(Record, frozen=True, tag="holders"):
    """Control, for the broker's side of a worker: say that you hold these jobs, if you do. Their messages came back."""

    jobs: list[str]


class Ahead(Record, frozen=True):
    """Why a version is fetched that is no new default one."""

    order: str = ""
    """Id of the deploy whom to tell what became of it, by a heartbeat; empty: nobody waits."""
    hosts: list[str] = []
    """Only these; empty: every one."""
    is_default: bool = False
    """Whether it is what the host runs of the function, unless a job names another."""


class Reload(Record, frozen=True, tag="reload"):
    """Control: a function has a new default version; fetch it ahead of the next job."""

    function: str
    hash: str
    ahead: Ahead | None = None


class Drain(Record, frozen=True, tag="drain"):
    """Control: take nothing new, finish what runs."""

    host: str
    on: bool = True


class Pauses(Record, frozen=True, tag="pauses"):
    """Control: the queues of jobs that are paused now, all of them, without the prefix; the others are not."""

    queues: list[str]


Control = Cancel | Reload | Drain | Pauses


class Change(Record, frozen=True):
    """One entry of the fanout `events`: what changed, for streams and waiters.

    topic: jobs | hosts | alarms | logs | functions | queues. `position` is the store's position after it, 0 when it has
    none.
    """

    topic: str
    id: str
    state: str = ""
    position: int = 0
    epoch: int = 0


class Changes(Record, frozen=True):
    """The body in `events`."""

    items: list[Change]


class PartState(Document, frozen=True, kw_only=True):
    """One running part of the control side (a server, a daemon), as it says of itself every few seconds."""

    id: str
    """Unique for each start."""
    name: str
    """server, porter, stethoscope, ..."""
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime
    """By the store's clock."""
    broker: str = ""
    """Its connection to the broker, in words: `up`, `away for 12 s: connection refused`."""
    store: str = ""
    leads: bool = True
    """False: it stands by while another of its kind leads."""
    listening_since: datetime | None = None
    """For the `ear` of a stethoscope, by its own clock: since when it has heard everybody without a gap."""
    heard_until: datetime | None = None
    """For the same, by the same clock: what was said until then is in the store."""
    signing: str = ""
    """For a server: the id of the key that it signs functions with."""
    takers: int = 0
    """For the `recorder` of a porter: how many take results, itself among them. 0: not looked at."""
    words: str = ""
    """For a launched worker, as its gateway says it: `up`, or what is wrong."""
    sealing: list[str] = []
    """For a server: the keys that it seals secret arguments to, as `Sealer.names` has them."""


class QueueStats(Document, frozen=True, kw_only=True):
    """What stands in a queue."""

    name: str
    ready: int
    unacked: int
    consumers: int
    oldest_seconds: float = 0.0
    published: int = 0
    """Since the broker started."""
    delivered: int = 0
    acked: int = 0
    published_rate: float | None = None
    """Messages per second, where the broker tells; else they are reckoned from two looks at the counts."""
    delivered_rate: float | None = None
    acked_rate: float | None = None
    dropped: int = 0
    dead: int = 0
    """Dead letters that came from this queue and are still kept."""
    paused: bool = False
    partial: bool = False
    """The broker does not tell what is unacked and how much moved: those figures say nothing."""
