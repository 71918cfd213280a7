"""A user of RabbitMQ for one host, or for the control side: its permissions, its password in files of mode 0600."""

import secrets
import shlex
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

from dts_core.brokers.rabbitmq.permissions import Permissions
from dts_core.errors import ConfigError, NotFound
from dts_core.hosting.management import Management
from dts_core.private import read_private, write_private
from dts_core.text import clean

__all__ = [
    "Grant",
    "apply_grant",
    "check_password_kept",
    "commands_of",
    "keep_password",
    "worker_url",
]

PASSWORD_BYTES: Final = 24


class Grant(msgspec.Struct, frozen=True):
    """What one user gets."""

    user: str
    vhost: str
    permissions: Permissions
    tags: str = ""
    """`management` lets it look at the queues of its virtual host by the management API."""


def worker_url(url: str, user: str, password: str) -> str:
    """The same broker for another user."""
    found = urlsplit(url)
    place = found.netloc.rpartition("@")[2]
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return found._replace(netloc=f"{login}@{place}").geturl()


def check_password_kept(management: Management, grant: Grant, folder: Path) -> None:
    """See that no password is changed by accident: a user of RabbitMQ is the same in all of its virtual hosts.

    Raises:
        ConfigError: The user is there, and its password not in the folder.
    """
    if read_private(folder / f"{grant.user}.password"):
        return
    try:
        management.get("users", grant.user)
    except NotFound:
        return
    raise ConfigError(
        f"{grant.user} is there already, and {grant.user}.password is not in this folder.",
        key="--out",
        advice="Name the folder that has it; or give it a new password, everywhere it is used, with --rotate.",
    )


def keep_password(
    folder: Path, grant: Grant, url: str, *, rotate: bool = False
) -> tuple[Path, Path]:
    """Write USER.password, and USER.env with the whole DTS_BROKER_URL; a password that is there stays.

    Args:
        folder: Where to; it exists.
        grant: For whom.
        url: Of the broker, as its clients reach it.
        rotate: Make a new password.

    Raises:
        ConfigError: The files cannot be read or written.
    """
    paths = folder / f"{grant.user}.password", folder / f"{grant.user}.env"
    try:
        kept = None if rotate else read_private(paths[0])
        password = (kept or b"").decode("utf-8", "replace").strip()
        if not password:
            password = secrets.token_urlsafe(PASSWORD_BYTES)
            write_private(paths[0], f"{password}\n".encode())
        line = f"DTS_BROKER_URL={worker_url(url, grant.user, password)}\n"
        write_private(paths[1], line.encode())
    except OSError as error:
        raise ConfigError(
            f"cannot be written: {error.strerror}.", file=clean(str(folder)), key="--out"
        ) from error
    return paths


def commands_of(grant: Grant, password: Path) -> list[str]:
    """What an administrator types on a host of RabbitMQ; the password goes by standard input."""
    user, vhost = shlex.quote(grant.user), shlex.quote(grant.vhost)
    allowed = grant.permissions
    patterns = [shlex.quote(each) for each in (allowed.configure, allowed.write, allowed.read)]
    file = shlex.quote(str(password))
    tagging = [f"rabbitmqctl set_user_tags {user} {grant.tags}"] * bool(grant.tags)
    return [
        f"rabbitmqctl add_vhost {vhost}    # when it is not there",
        f"rabbitmqctl add_user {user} < {file}",
        f"rabbitmqctl change_password {user} < {file}    # when the user was there",
        f"rabbitmqctl set_permissions -p {vhost} {user} {' '.join(patterns)}",
        *tagging,
    ]


def apply_grant(management: Management, grant: Grant, password: Path) -> bool:
    """Make the user and set its permissions; returns whether the virtual host had to be made.

    Raises:
        DtsError: The API refused or did not answer.
    """
    made = False
    try:
        management.get("vhosts", grant.vhost)
    except NotFound:
        management.put({}, "vhosts", grant.vhost)
        made = True
    secret = (read_private(password) or b"").decode().strip()
    management.put({"password": secret, "tags": grant.tags}, "users", grant.user)
    management.put(msgspec.to_builtins(grant.permissions), "permissions", grant.vhost, grant.user)
    return made
