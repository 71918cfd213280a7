"""Virtual hosts and the vault, as administrators see them: nothing that is secret."""

from typing import Annotated, Literal, TypeAlias, TypedDict

from msgspec import Meta

from dts_core.views.base import View
from dts_core.views.declared import HIDDEN, LINES, Document
from dts_core.views.ssh import SshLogin, SshPerson

Auth: TypeAlias = Literal["key", "agent", "password", "certificate", "ask"]
Mode: TypeAlias = Literal["service", "agent"]


class VhostGiven(TypedDict, total=False):
    """Fields of a virtual host that are given and shown."""

    address: Annotated[str, Meta(description="Host name or IP address.", max_length=253)]
    port: Annotated[int, Meta(description="Of its SSH server.", ge=1, le=65_535)]
    user: Annotated[str, Meta(description="Login name there.", max_length=65)]
    auth: Annotated[
        Auth, Meta(description="How to log in; ask: what is not stored is asked for at run time.")
    ]
    certificate: Annotated[
        str, Meta(description="Certificate of the key, as in its *-cert.pub.", extra={LINES: True})
    ]
    known_host_key: Annotated[
        str,
        Meta(
            description="Pinned keys of the host, as ssh-keyscan writes them.", extra={LINES: True}
        ),
    ]
    jump: Annotated[str, Meta(description="Virtual host that the way leads through.")]
    labels: Annotated[dict[str, str], Meta(description="Names and values to choose hosts by.")]
    references: Annotated[
        dict[str, str],
        Meta(
            description="key_passphrase, password: name of a file of [vault] secrets_dir instead."
        ),
    ]
    python: Annotated[str, Meta(description="Interpreter there: a path, or a name.")]
    mode: Annotated[
        Mode, Meta(description="service: its worker connects by itself; agent: over SSH.")
    ]
    shell_users: Annotated[
        list[str], Meta(description="Who may open a shell there, beside administrators.")
    ]
    description: Annotated[str, Meta(description="What it is.", extra={LINES: True})]
    disabled: Annotated[bool, Meta(description="Whether it is left alone.")]


class VhostFields(VhostGiven, total=False):
    """Fields of a virtual host that may be given; null takes a secret away."""

    ssh_pem_cert: Annotated[
        str | None,
        Meta(description="Private key, OpenSSH or PEM.", extra={HIDDEN: True, LINES: True}),
    ]
    key_passphrase: Annotated[
        str | None, Meta(description="What opens the private key.", extra={HIDDEN: True})
    ]
    password: Annotated[str | None, Meta(description="For the login.", extra={HIDDEN: True})]


class VhostDocument(Document, VhostGiven, total=False):
    """A virtual host; of its secrets only whether they are there."""

    has_key: bool
    has_passphrase: bool
    has_password: bool
    key_encrypted: bool
    key_type: Annotated[str, Meta(description="Empty where nothing can be told of a key.")]
    key_fingerprint: Annotated[str, Meta(description="SHA256:... of the key's public part.")]
    public_key: Annotated[str, Meta(description="For authorized_keys on the host.")]
    known_host_fingerprints: Annotated[
        list[str], Meta(description="TYPE SHA256:... of each pinned key.")
    ]


class ScanRequest(SshPerson, frozen=True, forbid_unknown_fields=True):
    """POST /admin/vhosts/scan: whose keys to look at, chosen as for POST /ssh; hosts of the way may ask."""

    hosts: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=300)]], Meta(max_length=10_000)
    ] = []
    labels: Annotated[dict[str, str], Meta(max_length=64)] = {}


class TrustRequest(View, frozen=True, forbid_unknown_fields=True):
    """POST /admin/vhosts/{id}/trust: the fingerprint that a person has compared, and the scan that it is from."""

    fingerprint: Annotated[str, Meta(pattern="^SHA256:[A-Za-z0-9+/]{43}$")]
    scan: Annotated[str, Meta(min_length=1, max_length=64)]
    """Id of the scan's job."""


class ForgetKeyRequest(View, frozen=True, forbid_unknown_fields=True):
    """POST /admin/vhosts/{id}/forget-key."""

    reason: Annotated[str, Meta(min_length=3, max_length=400)]
    """Why the host may show another key: it is recorded."""


class SetupRequest(SshLogin, frozen=True, forbid_unknown_fields=True):
    """POST /admin/vhosts/{id}/init: make a worker of it."""

    dry_run: bool = False
    """Only look, and tell each step: how it is, how it would be."""
    scope: Literal["user", "system"] = "user"
    """user: in the home of who logs in; system: for the machine, which needs root or sudo."""
    others: Annotated[list[str], Meta(max_length=1_000)] = []
    """Further virtual hosts, by the same job."""
    queues: Annotated[list[str], Meta(max_length=100)] = []
    """That its worker takes from; none: `default`. Its user at the broker has to be granted the same."""
    at_once: Annotated[int, Meta(ge=1, le=200)] = 20
    """Most hosts at the same time."""
    batch: Annotated[int, Meta(ge=0, le=1_000)] = 0
    """Hosts of a batch: the next begins when it has ended. 0: all are one."""
    failures_max: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    """Hosts that may fail; with one more nothing new is begun. Null: any number."""
    wait_seconds: Annotated[float, Meta(gt=0, le=600)] = 60.0
    """How long to wait for the first heartbeat of each."""


class TeardownRequest(SshLogin, frozen=True, forbid_unknown_fields=True):
    """POST /admin/vhosts/{id}/remove: take away what `init` made there; the virtual host itself stays."""

    scope: Literal["user", "system"] = "user"
    """As it was set up."""
    others: Annotated[list[str], Meta(max_length=1_000)] = []
    """Further virtual hosts, by the same job."""
    keep_data: bool = False
    """Leave the worker's data folder."""


class RotateKeyRequest(View, frozen=True, forbid_unknown_fields=True):
    """POST /admin/vhosts/{id}/rotate: give it a new login key, and shut the old one out."""

    dry_run: bool = False
    """Only see that it could be done."""
    others: Annotated[list[str], Meta(max_length=1_000)] = []
    """Further virtual hosts, by the same job."""
    authorized_keys: Annotated[str, Meta(min_length=1, max_length=400)] = "~/.ssh/authorized_keys"
    """The file of the keys that the host lets in; `~` is the home of who logs in."""
    at_once: Annotated[int, Meta(ge=1, le=200)] = 20
    """Most hosts at the same time."""


class VaultKeyView(View, frozen=True):
    """A key of the vault."""

    id: str
    sealed: int
    """Secrets in the store that are sealed with it."""
    is_first: bool = False
    """Whether it seals."""
    in_file: bool = True
    """False: secrets need it and it is not there."""


class VaultView(View, frozen=True):
    """GET /admin/vault."""

    file: str
    keys: list[VaultKeyView]
    """In the order of the file, then those that are missing from it."""
    damaged: int = 0
    """Sealed values that are of no known form."""


class RotateRequest(View, frozen=True, forbid_unknown_fields=True):
    """POST /admin/vault/rotate; without a cursor a rotation begins, or one that was cut off goes on."""

    cursor: Annotated[str, Meta(max_length=400)] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    """Documents looked at."""


class RotateView(View, frozen=True):
    """What one page of a rotation did."""

    key: str
    """Id of the key that seals now."""
    added: bool
    """Whether this page added it."""
    sealed: int
    """Secrets sealed anew."""
    failed: list[str] = []
    """Documents with a secret that does not open; they are left as they are."""
    next: str = ""
    """Cursor of the next page; empty at the end."""
