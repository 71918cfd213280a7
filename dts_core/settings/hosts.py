"""Hosts reached by SSH."""

from typing import Annotated

import msgspec
from msgspec import Meta

from dts_core.settings.base import Count, Seconds, Settings


class RemoteSettings(Settings, frozen=True):
    """`[ssh]`: sessions with virtual hosts."""

    connections_max: Count = 1_000
    """Most connections that are kept; the one idle for longest gives way."""
    idle_seconds: Seconds = 600
    """After which an unused connection is closed."""
    logins_max: Count = 64
    """Most connections that are being made."""
    logins_per_door: Count = 6
    """The same for one address, and for all hosts behind one jump host; sshd drops some from ten on by default."""
    connect_seconds: Seconds = 10
    login_seconds: Seconds = 20
    """From an open connection to the end of the login."""
    prompt_seconds: Annotated[float, Meta(gt=0, le=120)] = 120
    """In which a person answers what a login asks; then their answer counts no more."""
    keepalive_seconds: Seconds = 15
    """How often an idle connection is asked whether it lives; after three misses it does not.

    The system asks (TCP); where it cannot, and on the way through a jump host, SSH does. An sshd that hangs while its
    system still answers is found after four times as long."""
    interpreters_per_host: Count = 4
    """Most functions at once on one host."""
    agent_socket: str = ""
    """Socket of the SSH agent for virtual hosts with auth = agent; empty: none."""


class ShellSettings(Settings, frozen=True):
    """`[shell]`: terminals on virtual hosts (`dts ssh --tty`)."""

    shells_max: Count = 50
    """Most at once."""
    shells_per_host: Annotated[int, Meta(ge=1, le=8)] = 4
    """On one host: they share its connection with everything else that runs there."""
    idle_seconds: Seconds = 3_600
    """One in which nothing is typed or printed for so long is ended."""
    total_seconds: Seconds = 43_200
    """After which one is ended."""


class SetupSettings(Settings, frozen=True):
    """`[setup]`: how virtual hosts of mode service become workers; the same in every part that runs `dts/` jobs."""

    broker: str = ""
    """RabbitMQ as these hosts reach it, amqps://HOST:PORT/VHOST without a user; empty: as [broker] url says."""
    broker_ca: str = ""
    """PEM file by which they check its certificate; empty: that of [broker.tls] ca_file, else their own authorities."""
    logins: str = ""
    """Folder with the hosts' logins, where `dts broker grant --out` keeps them; missing ones are made there."""
    management: str = ""
    """RabbitMQ's management API, to make users that are missing; empty: an administrator makes them."""
    management_user: str = "guest"
    management_password_file: str = ""
    """File with their password, of mode 600."""
    wheels: str = ""
    """Folder of wheels that are taken first; others are made of what is installed here, or fetched by pip."""
    cache: str = ""
    """Where what was made or fetched is kept; empty: the user's cache folder."""


class GatewaySettings(Settings, frozen=True):
    """`[gateway]`: workers launched over SSH, on virtual hosts in mode agent."""

    worker: list[str] = []
    """Words that start a worker there, its options come behind them. Empty: what `dts vhost init` has made there, else
    `-m dts_worker.cli` of the virtual host's python."""
    queues: list[str] = msgspec.field(default_factory=lambda: ["default"])
    """Queues that they take from; each host's own queue is added."""
    public_keys: list[str] = []
    """Whose functions they run, as `dts admin signing public` prints it. Empty: what the hosts' own settings say, and
    without any, with an embedded store, the server's key."""
    look_seconds: Seconds = 5.0
    """How often the virtual hosts are looked up, at least; a change is mostly heard of at once."""
    drain_seconds: Seconds = 30
    """How long running jobs may take to finish when a virtual host is changed, disabled or removed."""
    backoff_max_seconds: Seconds = 60
    """Longest pause between two tries to launch."""
