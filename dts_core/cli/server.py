"""`dts server`."""

from pathlib import Path

import click

from dts_core.cli.host_options import SETTINGS, config_options


@click.command(context_settings=SETTINGS)
@click.option("--samples", is_flag=True, help="Add the sample functions, as namespace `sample`.")
@config_options
def server(samples: bool, config_file: Path | None, config_dir: Path | None, dev: bool) -> None:
    """Run the server, alone or with everything but the workers.

    With a data folder as its store it runs API, daemons and, unless that is RabbitMQ, the broker in
    one process. With MongoDB it is the API alone, and `dts daemon` runs the rest.

    Start workers with `dts-worker`. An empty store gets its first administrator, whose credentials
    lie in admin.json in the data folder.
    """
    from dts_core.cli.stack import Plan, run_stack
    from dts_core.config import load_settings
    from dts_core.places import data_folder_of, layout_of
    from dts_core.settings import ServerFile

    loaded = load_settings(
        ServerFile, part="server", config_file=config_file, config_dir=config_dir, dev=dev
    )
    settings = loaded.settings
    layout = layout_of(settings.broker, settings.store)
    folder = data_folder_of(layout, settings.server.data)
    run_stack(Plan(folder=folder, layout=layout, loaded=loaded, adds_samples=samples))
