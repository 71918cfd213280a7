"""What a host logs in to the broker with: its own user, found where `dts broker grant` keeps them, or made there."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dts_core.builtin import NotAgain
from dts_core.errors import DtsError
from dts_core.places import is_amqp
from dts_core.private import read_private
from dts_core.settings import BrokerSettings, SetupSettings
from dts_core.vault import Secret

if TYPE_CHECKING:
    from dts_core.hosting.grants import Grant

__all__ = ["NoLogin", "authorities", "login_of"]

PREFIX: Final = "DTS_BROKER_URL="


class NoLogin(NotAgain):
    """The host has no user at the broker, and none can be made here."""

    code = "no_login"


async def login_of(
    host: str, queues: tuple[str, ...], settings: SetupSettings, link: BrokerSettings
) -> Secret:
    """The broker's URL with the host's own user and password.

    Args:
        host: As its worker calls it.
        queues: That it takes from.
        settings: `[setup]`.
        link: `[broker]`.

    Raises:
        NoLogin: There is no RabbitMQ, or no login for this host; says what to do.
    """
    url = settings.broker or link.url
    if not is_amqp(url):
        raise NoLogin(
            "the broker here is no RabbitMQ, and a worker of mode service needs one.",
            advice="Set the virtual host's mode to agent: that needs no broker on the way.",
        )
    return await asyncio.to_thread(_login, host, queues, url, settings, link)


def _login(
    host: str, queues: tuple[str, ...], url: str, settings: SetupSettings, link: BrokerSettings
) -> Secret:
    from dts_core.brokers.rabbitmq.framing.address import address_of
    from dts_core.brokers.rabbitmq.permissions import user_of, worker_permissions
    from dts_core.hosting.grants import Grant, keep_password

    if not settings.logins:
        raise NoLogin(
            f"there is no login for host {host}: [setup] logins names no folder.",
            advice="Name the folder where `dts broker grant --out` keeps them.",
        )
    folder = Path(settings.logins).expanduser()
    grant = Grant(user_of(host), address_of(url).vhost, worker_permissions(host, queues, link.mq))
    try:
        if settings.management:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _made(grant, url, folder, settings, link)
        elif read_private(folder / f"{grant.user}.password") is not None:
            keep_password(
                folder, grant, url
            )  # its URL as hosts reach it, whatever it was granted with
        found = read_private(folder / f"{grant.user}.env")
    except (DtsError, OSError) as error:
        raise NoLogin(f"the login of host {host} cannot be had: {error}") from error
    text = (found or b"").decode("utf-8", "replace").strip()
    if not text.startswith(PREFIX):
        words = " ".join(f"--queue {queue}" for queue in queues)
        raise NoLogin(
            f"there is no login for host {host} in {folder}.",
            advice=f"`dts broker grant --host {host} {words} --out {folder}` makes it; "
            "or set [setup] management, and it is made here.",
        )
    return Secret(text.removeprefix(PREFIX))


def _made(
    grant: "Grant", url: str, folder: Path, settings: SetupSettings, link: BrokerSettings
) -> None:
    """Make the user, or give it its rights anew; a password that is there stays."""
    from dts_core.hosting.grants import apply_grant, check_password_kept, keep_password
    from dts_core.hosting.management import Management

    file = Path(settings.management_password_file or "nowhere").expanduser()
    password = (read_private(file) or b"").decode().strip()
    management = Management(
        settings.management,
        user=settings.management_user,
        password=password,
        ca_file=link.tls.ca_file,
    )
    check_password_kept(management, grant, folder)
    kept, _ = keep_password(folder, grant, url)
    apply_grant(management, grant, kept)


async def authorities(settings: SetupSettings, link: BrokerSettings) -> str:
    """Certificates by which hosts check the broker's, PEM; empty: their own.

    Raises:
        NoLogin: The file cannot be read.
    """
    name = settings.broker_ca or link.tls.ca_file
    if not name or not (settings.broker or link.url).startswith("amqps:"):
        return ""
    try:
        return await asyncio.to_thread(_read, name)
    except (OSError, UnicodeDecodeError) as error:
        raise NoLogin(f"{name} cannot be read, by which hosts check the broker: {error}") from error


def _read(name: str) -> str:
    return Path(name).expanduser().read_text("utf-8")
