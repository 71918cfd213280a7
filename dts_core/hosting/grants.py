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
    "check_certificate_fits",
    "check_password_kept",
    "commands_of",
    "keep_login",
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
    by_certificate: bool = False
    """It has no password: its certificate, with its name as the common name, lets it in."""


def worker_url(url: str, user: str, password: str) -> str:
    """The same broker for another user."""
    return _url(url, f"{quote(user, safe='')}:{quote(password, safe='')}")


def _url(url: str, login: str, query: str = "") -> str:
    found = urlsplit(url)
    place = found.netloc.rpartition("@")[2]
    return found._replace(netloc=f"{login}@{place}", query=query).geturl()


def check_certificate_fits(management: Management, grant: Grant) -> None:
    """See that nobody loses a password by accident.

    Raises:
        ConfigError: The user is there, and has one.
    """
    try:
        found = management.get("users", grant.user)
    except NotFound:
        return
    if found.get("password_hash"):
        raise ConfigError(
            f"{grant.user} is there already, with a password.",
            key="--certificate",
            advice="Take it away, everywhere it is used, with --rotate.",
        )


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


def keep_login(folder: Path, grant: Grant, url: str) -> Path:
    """Write USER.env with the whole DTS_BROKER_URL of a user without a password; its path.

    Args:
        folder: Where to; it exists.
        grant: For whom.
        url: Of the broker, amqps, as its clients reach it.

    Raises:
        ConfigError: The file cannot be written.
    """
    path = folder / f"{grant.user}.env"
    line = f"DTS_BROKER_URL={_url(url, quote(grant.user, safe=''), 'auth=external')}\n"
    _write(path, line)
    return path


def _write(path: Path, line: str) -> None:
    try:
        write_private(path, line.encode())
    except OSError as error:
        raise ConfigError(
            f"cannot be written: {error.strerror}.", file=clean(str(path.parent)), key="--out"
        ) from error


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
            _write(paths[0], f"{password}\n")
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}.", file=clean(str(folder)), key="--out"
        ) from error
    _write(paths[1], f"DTS_BROKER_URL={worker_url(url, grant.user, password)}\n")
    return paths


def commands_of(grant: Grant, password: Path | None) -> list[str]:
    """What an administrator types on a host of RabbitMQ; the password goes by standard input, where there is one."""
    user, vhost = shlex.quote(grant.user), shlex.quote(grant.vhost)
    allowed = grant.permissions
    patterns = [shlex.quote(each) for each in (allowed.configure, allowed.write, allowed.read)]
    tagging = [f"rabbitmqctl set_user_tags {user} {grant.tags}"] * bool(grant.tags)
    file = shlex.quote(str(password))
    login = [
        f"rabbitmqctl add_user {user} < {file}",
        f"rabbitmqctl change_password {user} < {file}    # when the user was there",
    ]
    if password is None:
        login = [
            f"head -c 32 /dev/urandom | base64 | rabbitmqctl add_user {user}",
            f"rabbitmqctl clear_password {user}",
        ]
    return [
        f"rabbitmqctl add_vhost {vhost}    # when it is not there",
        *login,
        f"rabbitmqctl set_permissions -p {vhost} {user} {' '.join(patterns)}",
        *tagging,
    ]


def apply_grant(management: Management, grant: Grant, password: Path | None) -> bool:
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
    login = {"password_hash": ""}  # nobody gets in by a password
    if password is not None:
        login = {"password": (read_private(password) or b"").decode().strip()}
    management.put({**login, "tags": grant.tags}, "users", grant.user)
    management.put(msgspec.to_builtins(grant.permissions), "permissions", grant.vhost, grant.user)
    return made
