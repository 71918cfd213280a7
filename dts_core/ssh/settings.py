"""How sessions are kept and how long each step may take."""

import msgspec

__all__ = ["SshSettings"]


class SshSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Of one pool of sessions; the defaults suit sshd's own (MaxStartups 10:30:100, MaxSessions 10)."""

    kept_max: int = 1000
    """Most connections; the one that is idle for longest gives way, and without an idle one whoever comes waits."""
    idle_seconds: float = 600.0
    """After which an unused connection is closed."""
    logins_max: int = 64
    """Most connections that are being made."""
    logins_per_door: int = 6
    """The same for one address, or for all hosts behind one jump host.

    Below the ten from which sshd drops some: a busy one counts a login as under way for a while after it has ended.
    """
    channels_max: int = 8
    """Most channels of one connection."""
    connect_seconds: float = 10.0
    """To an open TCP connection."""
    login_seconds: float = 20.0
    """From there to the end of the login; what a person takes for answers counts extra."""
    prompt_seconds: float = 120.0
    """For all answers that a person gives in one login."""
    wait_seconds: float = 60.0
    """For a place among the connections, or for a channel."""
    tries: int = 5
    """Connections that are tried when they break before the login begins."""
    keepalive_seconds: float = 15.0
    """After which a host that is silent is asked whether it lives: by the system (TCP), and by SSH where the way leads
    through another host; an sshd that hangs while its system answers is found after four times as long."""
    keepalive_misses: int = 3
    """Questions without an answer after which it does not."""
