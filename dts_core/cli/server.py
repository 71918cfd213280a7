"""`dts server`."""

from pathlib import Path

import click

from dts_core.cli.host_options import SETTINGS, config_options


@click.command(context_settings=SETTINGS)
@config_options
def server(config_file: Path | None, config_dir: Path | None, dev: bool) -> None:
    """Run the server: API, store, broker and, on the embedded engine, the daemons, in one process.

    Workers reach it by its link: start them with `dts-worker`. A new data folder gets its first
    administrator, whose credentials lie in admin.json there.
    """
    from dts_core.cli.stack import Plan, run_stack
    from dts_core.config import load_settings
    from dts_core.errors import ConfigError
    from dts_core.places import folder_of
    from dts_core.settings import ServerFile

    loaded = load_settings(
        ServerFile, part="server", config_file=config_file, config_dir=config_dir, dev=dev
    )
    folder = folder_of(loaded.settings.store.url, key="store.url")
    if folder_of(loaded.settings.broker.url, key="broker.url") != folder:
        raise ConfigError(
            "broker.url and store.url name different folders.",
            file=str(loaded.file or ""),
            advice="The embedded engine keeps both in one: record and message are one commit.",
        )
    run_stack(Plan(folder=folder, loaded=loaded))
