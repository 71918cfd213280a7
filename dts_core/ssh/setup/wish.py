"""What a host shall become, and where things lie on it then."""

from typing import Any, Final, Literal

import msgspec

from dts_core.ssh.setup.facts import Facts
from dts_core.ssh.setup.places import SYSTEM, USER
from dts_core.vault import Secret

__all__ = ["ACCOUNT", "Keeper", "Mode", "Place", "Scope", "Wish"]

Mode = Literal["service", "agent"]
Scope = Literal["system", "user"]
Keeper = Literal["auto", "systemd", "supervised"]
ACCOUNT: Final = "dts-worker"
"""The system user of a worker that the machine's own systemd runs."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """Of one host."""

    host: str
    """What the worker calls it."""
    mode: Mode = "service"
    """service: its worker connects to the broker by itself; agent: it is launched over a session, without a login."""
    scope: Scope = "user"
    """system: for the whole machine, as a user of its own, which needs root; user: in the home of who logs in."""
    keeper: Keeper = "auto"
    """What keeps the worker running; auto: systemd where it runs."""
    broker_url: Secret | None = None
    """amqps:// with the host's own user; of mode service."""
    broker_ca: str = ""
    """Certificates that sign the broker's, PEM; empty: the host's own authorities."""
    queues: tuple[str, ...] = ("default",)
    public_keys: tuple[str, ...] = ()
    """Whose functions it runs."""
    settings: dict[str, dict[str, Any]] = {}
    """Further tables of worker.toml; they win."""
    drain_seconds: float = 30.0
    """How long running jobs may take when it is started anew or stopped."""
    folder: str = ""
    """Of scope user: where all of it lies; empty: ~/.local/share/dts-host."""

    def __post_init__(self) -> None:
        if self.mode == "service" and self.broker_url is None:
            raise ValueError("a worker of mode service needs the broker's URL")


class Place(msgspec.Struct, frozen=True):
    """Paths on the host; `~` is the home of who logged in."""

    program: str
    config: str
    data: str
    unit: str
    account: str
    manager: Literal["", "systemd", "systemd-user", "supervised"]
    """Empty: whatever suits the host."""

    @classmethod
    def of(cls, wish: Wish, facts: Facts | None = None) -> "Place":
        """Where things lie for a wish; before the facts are known, with `~`."""
        manager = _manager(wish, facts)
        unit = "dts-worker.service"
        if wish.scope == "system":
            folder = "/etc/systemd/system/"
            return cls(**SYSTEM, unit=folder + unit, account=ACCOUNT, manager=manager)
        base = (wish.folder or USER).rstrip("/")
        folder = "~/.config/systemd/user/"
        found = cls(f"{base}/program", f"{base}/config", f"{base}/data", folder + unit, "", manager)
        return found if facts is None else found.at_home(facts.home)

    def at_home(self, home: str) -> "Place":
        """With the paths written out."""
        changed = {
            name: home.rstrip("/") + value[1:]
            for name, value in msgspec.structs.asdict(self).items()
            if value.startswith("~/")
        }
        return msgspec.structs.replace(self, **changed)


def _manager(
    wish: Wish, facts: Facts | None
) -> Literal["", "systemd", "systemd-user", "supervised"]:
    if wish.keeper == "auto" and facts is None:
        return ""
    runs = wish.keeper == "systemd" or (facts is not None and facts.systemd)
    if wish.keeper == "supervised" or not runs:
        return "supervised"
    return "systemd" if wish.scope == "system" else "systemd-user"
