"""Commands and functions on many hosts reached by SSH, as the API takes and shows them."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from dts_core.model import JobError
from dts_core.views.base import View
from dts_core.views.jobs import JobView

HOSTS_MAX = 10_000
"""Most hosts of one job."""
Pattern: TypeAlias = Annotated[str, Meta(min_length=1, max_length=300)]
Batch: TypeAlias = Annotated[str, Meta(pattern="^[1-9][0-9]{0,5}%?$")]
RunState: TypeAlias = Literal[
    "waiting", "running", "ok", "failed", "unreachable", "timed_out", "cancelled", "never_started"
]
Which: TypeAlias = Literal[
    "failed", "unreachable", "timed_out", "cancelled", "never_started", "not_ok", "group"
]


PublicKey: TypeAlias = Annotated[
    str, Meta(max_length=16_384, pattern=r"^[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}$")
]
OWN_KEYS_MAX = 5
"""Keys of an SSH agent that are shown: sshd ends the login at the sixth try."""


class SshPerson(View, frozen=True, forbid_unknown_fields=True):
    """How whoever starts it takes part in the logins."""

    ask: bool = False
    """Ask them what hosts ask, and for the passphrase of a key where it is not stored."""
    own_keys: Annotated[list[PublicKey], Meta(max_length=OWN_KEYS_MAX)] = []
    """Public keys of their SSH agent, `TYPE BASE64`: log in with these; each signature is asked of them."""


class SshLogin(SshPerson, frozen=True, forbid_unknown_fields=True):
    """The same, where they may be another user of the hosts."""

    user: Annotated[str, Meta(pattern=r"^([A-Za-z0-9_.][A-Za-z0-9_.@\\-]{0,63})?$")] = ""
    """Log in as this user of the hosts; with `ask` or `own_keys`. Empty: as each virtual host says."""


class SshPlan(SshLogin, frozen=True, forbid_unknown_fields=True):
    """How a run goes about its hosts."""

    at_once: Annotated[int, Meta(ge=1, le=1000)] = 64
    """Most hosts at the same time."""
    host_seconds: Annotated[float, Meta(gt=0, le=86_400)] = 600.0
    """For one host, once it runs there."""
    batches: Annotated[list[Batch], Meta(max_length=100)] = []
    """Sizes, or shares of all hosts as `25%`; the last one again and again. Empty: one batch."""
    failures_max: Annotated[int, Meta(ge=0, le=HOSTS_MAX)] | None = None
    """Hosts that may end otherwise than ok; with one more nothing new is begun. Null: any number."""


class SshRequest(SshPlan, frozen=True, forbid_unknown_fields=True):
    """POST /ssh: what to run, and where: on `hosts`, on those with `labels`, or on those of `hosts` with `labels`."""

    hosts: Annotated[list[Pattern], Meta(max_length=HOSTS_MAX)] = []
    """Ids of virtual hosts; `web-[1-20]` stands for many, `*` and `?` for what there is."""
    labels: Annotated[dict[str, str], Meta(max_length=64)] = {}
    """All of them; an empty value takes any."""
    argv: Annotated[list[Annotated[str, Meta(max_length=131_072)]], Meta(max_length=10_000)] = []
    """A plain command, word by word: no shell takes it apart."""
    function: Annotated[str, Meta(max_length=241)] = ""
    """In place of it: namespace/name of a stored function."""
    version: Annotated[str, Meta(max_length=64)] = ""
    """Its hash; empty: the default one."""
    args: msgspec.Raw = msgspec.Raw(b"[]")
    kwargs: msgspec.Raw = msgspec.Raw(b"{}")


class SshAgain(SshPerson, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /ssh/{job}/again: the same on some of its hosts, chosen by how they ended."""

    which: Which
    digest: Annotated[str, Meta(max_length=64)] = ""
    """For `group`: its digest, or as many of its first characters as tell it apart."""


class SshStarted(View, frozen=True):
    """The job, and the hosts that it goes to; without a job: nothing was started, this is what would be."""

    hosts: list[str]
    batches: list[int] = []
    """Their sizes, one after the other."""
    job: JobView | None = None


class HostRunView(View, frozen=True):
    """How far one host is."""

    host: str
    state: RunState
    seq: int = 0
    """Position of its last change within the job; 0: nothing happened there."""
    exit_status: int | None = None
    exit_signal: str = ""
    error: JobError | None = None
    group: str = ""
    """Digest of how it ended and what it printed; the same for hosts with the same answer."""
    output_total: int = 0
    """Bytes that it printed."""
    fingerprint: str = ""
    """Of a host key that is not pinned, or not the pinned one."""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class HostRunList(View, frozen=True):
    """GET /ssh/{job}/hosts: in the order of the job's hosts, or of their changes."""

    items: list[HostRunView]
    total: int
    """Hosts of the job."""
    counts: dict[str, int]
    """State -> hosts."""
    position: int
    """The highest `seq` that is shown: ask for changes after it."""
    job_state: str
    is_over: bool
    """Whether no host changes any more."""
    next: int = 0
    """Where the next page begins, as `start`; 0 at the end."""
    questions: int = 0
    """What its logins ask whoever started it now: see GET /ssh/{job}/questions."""


class HostOutputView(HostRunView, frozen=True):
    """GET /ssh/{job}/hosts/{host}/output: printable text, and what a function returned as JSON text."""

    stdout: str = ""
    stderr: str = ""
    result: str = ""


class HostLiveView(HostRunView, frozen=True):
    """GET /ssh/{job}/hosts/{host}/live: what is new behind two positions; printable, whole lines while it runs."""

    stdout: str = ""
    stderr: str = ""
    result: str = ""
    """Once it has ended."""
    stdout_at: int = 0
    """Where to go on: bytes of its output."""
    stderr_at: int = 0
    stdout_missed: int = 0
    """Bytes that came and went before this was asked."""
    stderr_missed: int = 0
    is_over: bool = False
    """Whether nothing more comes."""


class OutputGroup(View, frozen=True):
    """Hosts that ended in the same way with the same words."""

    digest: str
    """Empty: of hosts without a word of their own (waiting, running, never started)."""
    state: RunState
    hosts: list[str]
    folded: str
    """The same hosts, short: web-[1-20]"""
    exit_status: int | None = None
    exit_signal: str = ""
    error: JobError | None = None
    stdout: str = ""
    """Printable, at most 16,384 characters."""
    stderr: str = ""
    result: str = ""


class OutputGroupList(View, frozen=True):
    """GET /ssh/{job}/groups: the largest first."""

    items: list[OutputGroup]
    is_over: bool
    more: int = 0
    """Groups that are left out."""
