"""A virtual host as a target: what it logs in with, and what is pinned of its key."""

import msgspec

from dts_core.errors import InvalidInput
from dts_core.model import VirtualHost
from dts_core.services.vhosts import Credentials as Opened
from dts_core.ssh.hostkeys import Pins
from dts_core.ssh.target import Credentials, Target

__all__ = ["check_usable", "credentials_of", "looked_at", "target_of"]


def check_usable(vhost: VirtualHost, *, for_id: str, has_agent: bool) -> None:
    """Let pass a virtual host that can be logged in to without asking anybody.

    Args:
        vhost: The one that is meant, or one of its way.
        for_id: The one that is meant.
        has_agent: Whether `[ssh] agent_socket` names an SSH agent.

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
    if vhost.auth == "agent":
        if not has_agent:
            raise InvalidInput(
                f"{what} logs in with an SSH agent, and none is named here.",
                fields={"auth": "no SSH agent"},
                advice="Name its socket in [ssh] agent_socket, or store a key.",
            )
        return
    if not (_has_key(vhost) or vhost.sealed_password or "password" in vhost.references):
        raise InvalidInput(
            f"nothing is stored that {what} could be logged in to with.",
            fields={"auth": f"{vhost.id} has no key and no password"},
            advice="Store a key or a password, or name an SSH agent.",
        )


def _has_key(vhost: VirtualHost) -> bool:
    is_open = not vhost.key_encrypted or vhost.sealed_passphrase
    return bool(vhost.sealed_key and (is_open or "key_passphrase" in vhost.references))


def credentials_of(vhost: VirtualHost, opened: Opened, agent_socket: str) -> Credentials:
    """What is shown to the host: only what its `auth` says; with `ask`, all that is stored."""
    by_key = vhost.auth in ("key", "certificate", "ask") and _has_key(vhost)
    by_password = vhost.auth in ("password", "ask")
    return Credentials(
        private_key=opened.key if by_key else None,
        passphrase=opened.passphrase if by_key else None,
        certificate=vhost.certificate if by_key and vhost.auth != "key" else "",
        agent=agent_socket if vhost.auth == "agent" else "",
        password=opened.password if by_password else None,
    )


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
