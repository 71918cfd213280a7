"""`dts daemon`."""

from pathlib import Path

import click

from dts_core.cli.host_options import SETTINGS, config_options

NAMES = ("porter", "stethoscope", "logtracer", "scheduler", "internal")


@click.command(context_settings=SETTINGS)
@click.argument("names", nargs=-1, required=True, type=click.Choice(NAMES), metavar="NAME...")
@config_options
def daemon(
    names: tuple[str, ...], config_file: Path | None, config_dir: Path | None, dev: bool
) -> None:
    """Run daemons in a process of their own: porter, stethoscope, logtracer, scheduler, internal.

    They stand beside a server on a distributed engine. On the embedded engine `dts server` owns the
    data folder and runs them itself.
    """
    from dts_core.config import load_settings
    from dts_core.errors import ConfigError
    from dts_core.places import folder_of
    from dts_core.settings import DaemonsFile

    loaded = load_settings(
        DaemonsFile, part="daemons", config_file=config_file, config_dir=config_dir, dev=dev
    )
    for key, url in (
        ("broker.url", loaded.settings.broker.url),
        ("store.url", loaded.settings.store.url),
    ):
        folder = folder_of(url, key=key)
    wanted = ", ".join(dict.fromkeys(names))
    raise ConfigError(
        f"the data folder {folder} is on the embedded engine, where `dts server` runs {wanted} itself.",
        file=str(loaded.file or ""),
        advice="Daemons of their own need a distributed engine; start `dts server`, and nothing else.",
    )
