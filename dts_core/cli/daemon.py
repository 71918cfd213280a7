"""`dts daemon`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dts_core.cli.host_options import SETTINGS, config_options

if TYPE_CHECKING:
    from dts_core.config import Loaded
    from dts_core.settings import DaemonsFile

NAMES = ("porter", "stethoscope", "logtracer", "scheduler", "internal", "requests", "gateway")


@click.command(context_settings=SETTINGS)
@click.argument("names", nargs=-1, required=True, type=click.Choice(NAMES), metavar="NAME...")
@config_options
def daemon(
    names: tuple[str, ...], config_file: Path | None, config_dir: Path | None, dev: bool
) -> None:
    """Run daemons: porter, stethoscope, logtracer, scheduler, internal, requests, gateway.

    They stand beside a server on RabbitMQ and MongoDB, together or each in a process of its own, on
    one host or on several. With a data folder as its store `dts server` runs them itself.

    \b
    Example:
      dts daemon porter requests -c etc/distributed/daemons.toml
    """  # noqa: D301 - below \b click keeps the lines
    from dts_core.cli.daemon_run import run_daemons
    from dts_core.config import load_settings
    from dts_core.settings import DaemonsFile

    loaded = load_settings(
        DaemonsFile, part="daemons", config_file=config_file, config_dir=config_dir, dev=dev
    )
    wanted = tuple(dict.fromkeys(names))
    _check(wanted, loaded)
    run_daemons(wanted, loaded)


def _check(names: tuple[str, ...], loaded: "Loaded[DaemonsFile]") -> None:
    from dts_core.errors import ConfigError
    from dts_core.places import layout_of

    layout = layout_of(loaded.settings.broker, loaded.settings.store)
    if layout.folder is not None:
        raise ConfigError(
            f"the data folder {layout.folder} has one process, and its `dts server` runs"
            f" {', '.join(names)} itself.",
            file=str(loaded.file or ""),
            advice="Daemons of their own stand on MongoDB; start `dts server`, and nothing else.",
        )
