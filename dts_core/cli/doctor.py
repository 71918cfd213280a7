"""`dts doctor`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dts_core.cli.host_options import SETTINGS, config_options

if TYPE_CHECKING:
    from dts_core.doctor.findings import Finding
    from dts_core.settings import DaemonsFile, LinkSettings, ServerFile, WorkerFile

PARTS = ("server", "daemons", "worker")


@click.command(context_settings=SETTINGS)
@click.argument("part", type=click.Choice(PARTS), default="server", metavar="[PART]")
@click.option(
    "--management", metavar="URL", help="RabbitMQ's management API, for what only it tells."
)
@click.option("--management-user", default="guest", show_default=True, metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_options
def doctor(
    part: str,
    management: str | None,
    management_user: str,
    as_json: bool,
    config_file: Path | None,
    config_dir: Path | None,
    dev: bool,
) -> int:
    """Look at what a part needs, with its own settings and user, and say what to do.

    PART is server, daemons or worker. Looks at versions, connections, TLS, permissions, queues,
    timeouts, clocks, indexes, replicas, keys and this host. Changes nothing. Exit status 1: a problem.

    \b
    Examples:
      dts doctor -c /etc/dts/server.toml
      dts doctor worker -c /etc/dts/worker.toml
      dts doctor --management http://rabbit:15672 -c /etc/dts/server.toml
    """  # noqa: D301 - below \b click keeps the lines
    import asyncio

    settings = _settings(part, config_file, config_dir, dev)
    found = asyncio.run(_look(part, settings))
    if management is not None:
        found += _ask_management(management, management_user, settings.broker)
    if as_json:
        _print_json(found)
    else:
        _print(found)
    return 1 if any(each.level == "problem" for each in found) else 0


def _settings(part: str, config_file: Path | None, config_dir: Path | None, dev: bool) -> Any:
    from dts_core.config import load_settings
    from dts_core.settings import DaemonsFile, ServerFile, WorkerFile

    kinds: dict[str, Any] = {"server": ServerFile, "daemons": DaemonsFile, "worker": WorkerFile}
    return load_settings(
        kinds[part], part=part, config_file=config_file, config_dir=config_dir, dev=dev
    ).settings


async def _look(part: str, settings: Any) -> "list[Finding]":
    from dts_core.doctor.host import check_limits

    found = await (_worker(settings) if part == "worker" else _control(settings))
    return found + check_limits()


async def _worker(settings: "WorkerFile") -> "list[Finding]":
    from dts_core.doctor.arguments import check_opening
    from dts_core.doctor.findings import ok, problem
    from dts_core.doctor.host import check_folder
    from dts_core.doctor.signing import check_trust
    from dts_core.places import check_worker_url, is_amqp, is_stdio, socket_of
    from dts_core.text import clean

    check_worker_url(settings.broker.url, settings.broker.tls)
    found: list[Finding] = []
    if is_amqp(settings.broker.url):
        from dts_core.brokers.rabbitmq.checkup import check_rabbitmq
        from dts_core.hosting.hostname import host_name

        host = host_name(settings.worker.host)
        found = await check_rabbitmq(settings.broker, host=host, queues=settings.worker.queues)
    elif is_stdio(settings.broker.url):
        found.append(ok("broker", "a gateway launches this worker over SSH and is its broker"))
    else:
        path = socket_of(settings.broker.url, key="broker.url")
        shown = clean(str(path))
        found.append(
            ok("broker", f"the server's socket {shown} is there")
            if path.is_socket()
            else problem("broker", f"there is no socket {shown}", "Start the server there.")
        )
    found += await check_trust(settings) + await check_opening(settings)
    if settings.worker.data:
        found += check_folder(settings.worker.data)
    return found


async def _control(settings: "ServerFile | DaemonsFile") -> "list[Finding]":
    from dts_core.doctor.arguments import check_internal, check_sealing
    from dts_core.doctor.findings import ok
    from dts_core.doctor.host import check_folder
    from dts_core.doctor.mail import check_mail
    from dts_core.doctor.signing import check_signer
    from dts_core.places import data_folder_of, layout_of
    from dts_core.settings import ServerFile

    layout = layout_of(settings.broker, settings.store)
    found = [ok("host", f"engine: {layout.engine}")]
    if layout.rabbitmq:
        from dts_core.brokers.rabbitmq.checkup import check_rabbitmq

        found += await check_rabbitmq(settings.broker)
    if layout.folder is None:
        from dts_core.stores.mongodb.checkup import check_mongodb

        found += await check_mongodb(settings.store)
    if isinstance(settings, ServerFile):
        folder = data_folder_of(layout, settings.server.data)
        found += check_folder(folder) + check_signer(settings.signing, layout, folder)
        found += check_sealing(settings.arguments, layout, folder)
    else:
        found += check_internal(settings.arguments)
    found += await check_mail(settings.notify.smtp)
    return found


def _ask_management(url: str, user: str, settings: "LinkSettings") -> "list[Finding]":
    from dts_core.brokers.rabbitmq.framing.address import address_of
    from dts_core.cli.broker import management_of
    from dts_core.doctor.management import check_management

    api = management_of(url, user, settings.tls.ca_file)
    return check_management(api, settings, address_of(settings.url).vhost)


def _print_json(found: "list[Finding]") -> None:
    import msgspec

    click.echo(msgspec.json.encode(found).decode())


def _print(found: "list[Finding]") -> None:
    from dts_core.text import clean

    for each in found:
        click.echo(f"{each.level:<8} {each.area:<7} {clean(each.what, 1000)}")
        if each.advice:
            click.echo(f"{'':<16} {clean(each.advice, 500)}")
