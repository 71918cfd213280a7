"""`dts broker`: RabbitMQ's users, as dts needs them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dts_core.cli.host_options import FILE, SETTINGS, config_options

if TYPE_CHECKING:
    from dts_core.hosting.grants import Grant
    from dts_core.settings import BrokerSettings

Files = tuple[Path | None, Path]
"""Of the password, where there is one, and of the environment."""
PASSWORD_VARIABLE = "DTS_MANAGEMENT_PASSWORD"  # noqa: S105 - the name of a variable


@click.group(context_settings=SETTINGS)
def broker() -> None:
    """RabbitMQ's users and permissions."""


@broker.command(context_settings=SETTINGS)
@click.option("--host", metavar="NAME", help="A worker host, as its [worker] host says.")
@click.option("--queue", "queues", multiple=True, metavar="Q", help="Queue that it takes from.")
@click.option("--control", is_flag=True, help="For servers and daemons instead.")
@click.option("--url", metavar="URL", help="Broker as it is reached; else that of the settings.")
@click.option("--out", type=FILE, default=".", metavar="DIR", help="Folder for the two files. [.]")
@click.option("--rotate", is_flag=True, help="Make a new password.")
@click.option(
    "--certificate", is_flag=True, help="No password: a certificate with the user's name."
)
@click.option("--management", metavar="URL", help="Apply it by RabbitMQ's management API.")
@click.option("--management-user", default="guest", show_default=True, metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_options
def grant(
    host: str | None,
    queues: tuple[str, ...],
    control: bool,
    url: str | None,
    out: Path,
    rotate: bool,
    certificate: bool,
    management: str | None,
    management_user: str,
    as_json: bool,
    config_file: Path | None,
    config_dir: Path | None,
    dev: bool,
) -> None:
    """Make a user that may do what one host needs, and nothing else.

    The password is made here and kept in USER.password and USER.env (mode 0600); USER.env is the
    worker's EnvironmentFile. Without --management the commands for rabbitmqctl are printed. The
    password of --management-user is asked for, or taken from DTS_MANAGEMENT_PASSWORD. A user that
    is there keeps its password, which --out has to hold then, unless --rotate is given: users of
    RabbitMQ are the same in all virtual hosts. With --certificate the user has no password, and
    USER.env says auth=external.

    \b
    Examples:
      dts broker grant --host node7 --queue default --queue gpu -c server.toml
      dts broker grant --control -c server.toml --management https://rabbit:15671
    """  # noqa: D301 - below \b click keeps the lines
    from dts_core.config import load_settings
    from dts_core.hosting.grants import (
        apply_grant,
        check_certificate_fits,
        check_password_kept,
        commands_of,
        keep_login,
        keep_password,
    )
    from dts_core.settings import ServerFile

    settings = load_settings(
        ServerFile,
        part="server",
        config_file=config_file,
        config_dir=config_dir,
        dev=dev,
        overrides={"broker.url": url},
    ).settings.broker
    granted = _granted(host, queues, control, settings, certificate=certificate)
    api = None
    if management is not None:
        api = management_of(management, management_user, settings.tls.ca_file)
        api.get("whoami")  # before a file is written: a grant that fails changes none
        if certificate and not rotate:
            check_certificate_fits(api, granted)
        elif not rotate:
            check_password_kept(api, granted, out)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    files: Files
    if certificate:
        files = None, keep_login(out.absolute(), granted, settings.url)
    else:
        files = keep_password(out.absolute(), granted, settings.url, rotate=rotate)
    if api is not None:
        apply_grant(api, granted, files[0])
    commands = [] if api is not None else commands_of(granted, files[0])
    if as_json:
        _print_json(granted, files, commands)
    else:
        _print(granted, files, commands)


def _granted(
    host: str | None,
    queues: tuple[str, ...],
    control: bool,
    settings: "BrokerSettings",
    *,
    certificate: bool,
) -> "Grant":
    from dts_core.brokers.rabbitmq.framing.address import address_of
    from dts_core.brokers.rabbitmq.permissions import (
        CONTROL_USER,
        control_permissions,
        user_of,
        worker_permissions,
    )
    from dts_core.errors import ConfigError
    from dts_core.hosting.grants import Grant
    from dts_core.names import check_name, is_host
    from dts_core.places import AMQP_EXAMPLE, is_amqp

    if control == (host is not None):
        raise click.UsageError("Give either --host NAME or --control.")
    if not is_amqp(settings.url):
        raise ConfigError(
            "the broker of these settings is no RabbitMQ.",
            key="broker.url",
            advice=f"Give --url {AMQP_EXAMPLE.replace('USER:PASSWORD@', '')}.",
        )
    address = address_of(settings.url)
    if certificate and not address.is_tls:
        raise ConfigError(
            "a certificate is shown by amqps:// alone.", key="broker.url", advice="Give --url."
        )
    vhost = address.vhost
    if host is None:
        allowed = control_permissions(settings.mq)
        return Grant(CONTROL_USER, vhost, allowed, "management", certificate)
    if not is_host(host):
        raise click.UsageError(f"{host!r} is no name of a host.")
    for queue in queues:
        check_name(queue, what="queue")
        if queue.split(".")[0] in ("dts", "host"):
            raise click.UsageError(f"queue {queue} is not for a worker of this host.")
    wanted = queues or ("default",)
    allowed = worker_permissions(host, wanted, settings.mq)
    return Grant(user_of(host), vhost, allowed, by_certificate=certificate)


def management_of(url: str, user: str, ca_file: str) -> Any:
    """RabbitMQ's management API for this user, whose password is asked for or taken from the environment."""
    from dts_core.hosting.management import Management

    password = os.environ.get(PASSWORD_VARIABLE) or click.prompt(
        f"password of {user} at RabbitMQ's management", hide_input=True, err=True
    )
    return Management(url, user=user, password=password, ca_file=ca_file)


def _print_json(granted: "Grant", files: "Files", commands: list[str]) -> None:
    import msgspec

    told = msgspec.to_builtins(granted)
    kept = None if files[0] is None else str(files[0])
    told |= {"password": kept, "env": str(files[1]), "commands": commands}
    click.echo(msgspec.json.encode(told).decode())


def _print(granted: "Grant", files: "Files", commands: list[str]) -> None:
    from dts_core.text import clean

    allowed = granted.permissions
    for name, value in (
        ("user", granted.user),
        ("vhost", granted.vhost),
        ("configure", allowed.configure),
        ("write", allowed.write),
        ("read", allowed.read),
        ("password", str(files[0] or "none: by certificate")),
        ("environment", str(files[1])),
    ):
        click.echo(f"{name:<12} {clean(value, 2000)}")
    if not commands:
        click.echo("applied")
        return
    click.echo("\nOn a host of RabbitMQ:")
    for command in commands:
        click.echo(f"  {clean(command, 4000)}")
