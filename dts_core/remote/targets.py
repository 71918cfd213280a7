"""A virtual host as a target: what it logs in with, and what is pinned of its key."""

import msgspec

from dts_core.errors import InvalidInput
from dts_core.model import VirtualHost
from dts_core.services.vhosts import Credentials as Opened
from dts_core.ssh.base import fingerprint
from dts_core.ssh.hostkeys import Pins
from dts_core.ssh.target import Credentials, Target

__all__ = ["check_usable", "credentials_of", "has_stored", "looked_at", "target_of"]


def check_usable(
    vhost: VirtualHost, *, for_id: str, has_agent: bool, may_ask: bool = False
) -> None:
    """Let pass a virtual host that can be logged in to: with what is stored, or with what a person is asked for.

    Args:
        vhost: The one that is meant, or one of its way.
        for_id: The one that is meant.
        has_agent: Whether `[ssh] agent_socket` names an SSH agent.
        may_ask: Whether there is a person who is asked for what is not stored.

    Raises:
        InvalidInput: It is disabled, or nothing is stored that it could be shown.
    """
    what = f"virtual host {vhost.id}"
    if vhost.id != for_id:
        what += f", which the way to {for_id} leads through,"
    if vhost.disabled:
        raise InvalidInput(
            f"{what} is disabled.",
            fields={"disabled": f"{vhost.id} is disabled"},
            advice="Enable it first.",
        )
    if may_ask or has_stored(vhost, has_agent=has_agent):
        return
    if vhost.auth == "agent":
        raise InvalidInput(
            f"{what} logs in with an SSH agent, and none is named here.",
            fields={"auth": "no SSH agent"},
            advice="Name its socket in [ssh] agent_socket, store a key, or run it with --as-me.",
        )
    raise InvalidInput(
        f"nothing is stored that {what} could be logged in to with.",
        fields={"auth": f"{vhost.id} has no key and no password"},
        advice="Store a key or a password, name an SSH agent, or run it with --ask.",
    )


def has_stored(vhost: VirtualHost, *, has_agent: bool) -> bool:
    """Whether there is something to log in with that nobody has to be asked for."""
    if vhost.auth == "agent":
        return has_agent
    return bool(_has_key(vhost) or vhost.sealed_password or "password" in vhost.references)


def _has_key(vhost: VirtualHost) -> bool:
    is_open = not vhost.key_encrypted or vhost.sealed_passphrase
    return bool(vhost.sealed_key and (is_open or "key_passphrase" in vhost.references))


def credentials_of(
    vhost: VirtualHost, opened: Opened, agent_socket: str, *, may_ask: bool = False
) -> Credentials:
    """What is shown to the host: only what its `auth` says; with `ask`, all that is stored.

    Where a person may be asked, a key counts too whose passphrase is not stored.
    """
    is_locked = may_ask and bool(vhost.sealed_key) and not _has_key(vhost)
    by_key = vhost.auth in ("key", "certificate", "ask") and (is_locked or _has_key(vhost))
    by_password = vhost.auth in ("password", "ask")
    return Credentials(
        private_key=opened.key if by_key else None,
        passphrase=opened.passphrase if by_key else None,
        locked_key=_name_of_key(vhost) if by_key and is_locked else "",
        certificate=vhost.certificate if by_key and vhost.auth != "key" else "",
        agent=agent_socket if vhost.auth == "agent" else "",
        password=opened.password if by_password else None,
    )


def _name_of_key(vhost: VirtualHost) -> str:
    """The same for all hosts with the same key, where that can be told."""
    told = fingerprint(vhost.public_key)
    return f"key {told}" if told else f"the key of {vhost.id}"


def target_of(vhost: VirtualHost, credentials: Credentials, jump: Target | None) -> Target:
    """The target of a virtual host; its version is the revision, so each change makes it another one."""
    return Target(
        id=vhost.id,
        version=str(vhost.revision),
        address=vhost.address,
        port=vhost.port,
        user=vhost.user,
        credentials=credentials,
        pins=Pins.of_lines(vhost.known_host_key),
        jump=jump,
        python=vhost.python,
    )


def looked_at(vhost: VirtualHost, jump: Target | None) -> Target:
    """The target of a virtual host of which only the key is wanted: the pinned ones count as revoked."""
    pins = Pins.of_lines(vhost.known_host_key)
    refusing = msgspec.structs.replace(pins, revoked=(*pins.keys, *pins.authorities))
    bare = target_of(vhost, Credentials(), jump)
    return msgspec.structs.replace(bare, version=f"{bare.version} looked at", pins=refusing)
