"""`dts up`."""

from pathlib import Path

import click

from dts_core.cli.host_options import FILE, SETTINGS, config_options, parent_pipe_option


@click.command(context_settings=SETTINGS)
@click.option(
    "--data",
    type=FILE,
    metavar="DIR",
    envvar="DTS_DATA",
    help="Data folder (DTS_DATA); else the user's own.",
)
@click.option("--host", metavar="H", help="Address; another than loopback needs TLS or --insecure.")
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="N", help="Port; 0: any free one. [7117]"
)
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    default=1,
    metavar="N",
    show_default=True,
    help="Worker processes of this host.",
)
@click.option("--no-worker", is_flag=True, help="Start no worker here.")
@click.option("--insecure", is_flag=True, default=None, help="Allow an open address without TLS.")
@config_options
@parent_pipe_option
def up(
    data: Path | None,
    host: str | None,
    port: int | None,
    workers: int,
    no_worker: bool,
    insecure: bool | None,
    config_file: Path | None,
    config_dir: Path | None,
    dev: bool,
    parent_pipe: int | None,
) -> None:
    """Start everything on this machine: server, engine, daemons and workers, until SIGTERM or Ctrl-C.

    Prints the address and where the first administrator's credentials lie. A new data folder gets
    the namespace `sample` with the functions that ship with dts.

    \b
    Examples:
      dts up --data ./data
      dts up --data ./data --workers 2 --port 0
    """  # noqa: D301 - below \b click keeps the lines
    from dts_core.cli.stack import Plan, run_stack
    from dts_core.config import load_settings
    from dts_core.places import Layout, default_data
    from dts_core.settings import ServerFile, WorkerFile

    folder = (data or default_data()).expanduser().absolute()
    loaded = load_settings(
        ServerFile,
        part="server",
        config_file=config_file,
        config_dir=config_dir,
        dev=dev,
        overrides={
            "broker.url": f"sqlite://{folder}",
            "store.url": f"sqlite://{folder}",
            "server.host": host,
            "server.port": port,
            "server.insecure": insecure,
        },
    )
    # The workers read it themselves; a mistake in it is told here rather than by each of their starts.
    worker = load_settings(WorkerFile, part="worker", config_dir=config_dir, dev=dev)
    plan = Plan(
        folder=folder,
        layout=Layout(folder, rabbitmq=False),
        loaded=loaded,
        worker=None if no_worker else worker,
        workers=workers,
        with_samples=True,
        parent_pipe=parent_pipe,
    )
    run_stack(plan)
