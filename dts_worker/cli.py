"""The `dts-worker` command."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dts_core.cli.entry import status_of
from dts_core.cli.host_options import SETTINGS, config_options, parent_pipe_option

if TYPE_CHECKING:
    import asyncio

    from dts_core.config import Loaded
    from dts_core.settings import WorkerFile

__all__ = ["main", "worker"]


@click.command(context_settings=SETTINGS)
@config_options
@click.option("--url", metavar="URL", help="Broker, in place of [broker] url.")
@click.option("--host", metavar="NAME", help="Name of this host; else the machine's own.")
@click.option("--data", metavar="DIR", help="Folder for cached sources and offsets of log files.")
@click.option(
    "--queue", "queues", multiple=True, metavar="NAME", help="Queue to take from; repeatable."
)
@click.option("--slots", type=click.IntRange(min=0), help="Synchronous jobs at once; 0: cores.")
@parent_pipe_option
def worker(
    config_file: Path | None,
    config_dir: Path | None,
    dev: bool,
    url: str | None,
    host: str | None,
    data: str | None,
    queues: tuple[str, ...],
    slots: int | None,
    parent_pipe: int | None,
) -> None:
    """Run jobs on this host, measure it, and follow its log files.

    SIGTERM lets running jobs finish (see drain_seconds); a second one ends them at once.
    """
    from dts_core.config import load_settings
    from dts_core.settings import WorkerFile

    overrides: dict[str, Any] = {
        "broker.url": url,
        "worker.host": host,
        "worker.data": data,
        "worker.queues": list(queues) or None,
        "worker.slots": slots,
    }
    loaded = load_settings(
        WorkerFile,
        part="worker",
        config_file=config_file,
        config_dir=config_dir,
        dev=dev,
        overrides=overrides,
    )
    _serve(loaded, parent_pipe)


def _serve(loaded: "Loaded[WorkerFile]", parent_pipe: int | None) -> None:
    from dts_core.children.orphans import forbid_inspection
    from dts_core.logs import log_to
    from dts_core.loops import run as run_loop

    settings = loaded.settings
    if settings.broker.url.startswith("link+stdio:"):
        _move_stdout_away()
    forbid_inspection()
    with log_to(settings.logging):
        run_loop(lambda: _work(loaded, parent_pipe), loop=settings.worker.loop)


def _move_stdout_away() -> int:
    """Keep the stream to ourselves: whatever is printed from now on goes to standard error. Returns its descriptor."""
    stream = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return stream


async def _work(loaded: "Loaded[WorkerFile]", parent_pipe: int | None) -> None:
    import asyncio

    import structlog

    from dts_core.hosting.notify import Notifier
    from dts_core.hosting.service import told
    from dts_core.hosting.stopping import stop_requests
    from dts_core.hosting.waiting import Stopped
    from dts_core.wiring.worker import worker_line
    from dts_worker.identity import data_folder, host_name, worker_name
    from dts_worker.worker import Worker

    settings = loaded.settings
    host = host_name(settings.worker.host)
    name = worker_name(host)
    structlog.get_logger(__name__).info("starting", worker=name, settings=loaded.story())
    line = worker_line(settings.broker, host=host, worker=name)
    parts = Worker(
        settings,
        line.broker,
        host=host,
        worker=name,
        folder=data_folder(settings.worker.data),
        adopt_orphans=True,
    )
    line.attach(holding=parts.held, on_resumed=parts.on_resumed, on_state=parts.on_link)
    at_once = asyncio.Event()
    with (
        contextlib.closing(Notifier.from_environment()) as notifier,
        stop_requests() as stop,
        _until_parent_ends(parent_pipe, at_once, stop),
    ):
        try:
            await line.start(stop, notifier.status)
            async with told(
                notifier, ready=parts.ready, stop=stop, probe=line.probe, status=f"ready as {name}"
            ):
                await parts.run(stop, at_once=at_once)
        except Stopped:
            pass  # asked to, before there was anything to stop
        finally:
            await line.close()


@contextlib.contextmanager
def _until_parent_ends(parent_pipe: int | None, *events: "asyncio.Event") -> "Iterator[None]":
    """Set the events when the process that started us is gone, however it ended."""
    import asyncio

    if parent_pipe is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def on_readable() -> None:
        loop.remove_reader(parent_pipe)
        for event in events:
            event.set()

    os.set_blocking(parent_pipe, False)
    loop.add_reader(parent_pipe, on_readable)
    try:
        yield
    finally:
        loop.remove_reader(parent_pipe)


def main() -> None:
    """Run the command line of this process and exit with its status."""
    sys.exit(status_of(lambda: worker.main(prog_name="dts-worker", standalone_mode=False)))


if __name__ == "__main__":
    main()
