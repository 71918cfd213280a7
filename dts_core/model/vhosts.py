"""Virtual hosts: machines reached by SSH, and what it takes to log in there."""

from datetime import datetime
from typing import Final

from dts_core.model.base import Document

MARK: Final = 6
"""Characters of a job's id that tell one set-up from the next."""


class VirtualHost(Document, frozen=True, kw_only=True):
    """A machine reached by SSH. What is sealed opens only with the vault's keys, and only in its own field."""

    id: str
    address: str
    """A host name or an IP address."""
    port: int = 22
    user: str
    auth: str = "ask"
    """key | agent | password | certificate | ask: what is not stored is asked for when it is needed"""
    sealed_key: bytes = b""
    """The private key (`ssh_pem_cert`), sealed for this field."""
    sealed_passphrase: bytes = b""
    """What opens the key (`key_passphrase`)."""
    sealed_password: bytes = b""
    references: dict[str, str] = {}
    """`key_passphrase`, `password` -> name of the file on the control side that holds it, in place of a sealed one."""
    key_encrypted: bool = False
    """Whether the private key needs a passphrase."""
    public_key: str = ""
    """`TYPE BASE64` of the private key; empty when it is encrypted so that nothing can be told."""
    certificate: str = ""
    """The user's certificate, `TYPE BASE64`."""
    known_host_key: str = ""
    """Pinned keys of the host, `TYPE BASE64` a line; `@cert-authority` before one that signs host certificates."""
    jump: str = ""
    """Id of the vhost that the way leads through."""
    labels: dict[str, str] = {}
    python: str = "python3"
    """The interpreter there: a path, or a name that is looked up there."""
    mode: str = "service"
    """service | agent"""
    shell_users: list[str] = []
    """Who may open a shell there, beside administrators."""
    shell_granted: dict[str, datetime] | None = None
    """When each of them was made: another user of the same name is not meant. None: of before this was kept."""
    description: str = ""
    disabled: bool = False
    set_up_by: str = ""
    """Id of the job that put a program there last; with another one the gateway launches the worker anew."""
    taken_away_by: str = ""
    """Id of the job that began to take that away; the gateway launches nothing then, until it is set up again."""
    stray_keys: list[str] = []
    """`TYPE BASE64` of login keys that a rotation may have left let in there, beside the one that is stored."""
    created_at: datetime
    updated_at: datetime
    revision: int = 1

    @property
    def worker_prefix(self) -> str:
        """What the names of workers begin with that the gateway launches from what is there now."""
        mark = self.set_up_by[-MARK:].lower()
        return f"{self.id}-{mark}-" if mark else f"{self.id}-"
