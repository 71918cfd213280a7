"""Where to log in, as whom and with what: what a virtual host comes to once its secrets are open."""

import msgspec

from dts_core.ssh.hostkeys import Pins
from dts_core.vault import Secret

__all__ = ["Credentials", "Target"]


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What may be shown to one host. All of it is optional; what is missing is asked for, or the login is denied."""

    private_key: Secret | None = None
    """PEM, in a form of OpenSSH."""
    passphrase: Secret | None = None
    certificate: str = ""
    """The user's certificate for the key, `TYPE BASE64`."""
    agent: str = ""
    """Socket of an SSH agent; empty: none is asked."""
    agent_keys: tuple[str, ...] = ()
    """`TYPE BASE64` of the agent's keys that may be shown; empty: its first ones."""
    password: Secret | None = None
    locked_key: str = ""
    """What to call the private key when a person is asked for its passphrase; empty: it needs none that is missing."""
    own_keys: tuple[str, ...] = ()
    """`TYPE BASE64` of keys of the person's own: shown first, signed with by their SSH agent alone."""

    def __post_init__(self) -> None:
        if self.certificate and self.private_key is None:
            raise ValueError("a certificate needs its private key")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One host. Two targets with the same `id` and `version` share a connection, so they must be the same."""

    id: str
    version: str = ""
    """Changes with anything here: the virtual host's revision."""
    address: str
    """A host name or an IP address; of a jump's host, as the jump resolves it."""
    port: int = 22
    user: str
    credentials: Credentials = Credentials()
    pins: Pins = Pins()
    jump: "Target | None" = None
    """The host that the way leads through; logged in first, and shared by all behind it."""
    python: str = "python3"
    """A path, or a name that is looked up there. Other than `python3`: exactly this one."""

    @property
    def key(self) -> tuple[str, ...]:
        """What tells connections apart: the whole way, the host first."""
        way = self.jump.key if self.jump is not None else ()
        return (self.id, self.version, *way)

    @property
    def door(self) -> str:
        """Who counts our logins: the first host of the way, which all hosts behind it share."""
        if self.jump is not None:
            return self.jump.door
        return f"{self.address}:{self.port}"
