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

    from dts_core.brokers.stdio import Stdio
    from dts_core.config import Loaded
    from dts_core.settings import WorkerFile

__all__ = ["main", "worker"]

END_SECONDS = 15.0
"""Told to end at once, the process is gone after so long, whatever still goes on."""


@click.command(context_settings=SETTINGS)
@config_options
@click.option("--url", metavar="URL", help="Broker, in place of [broker] url.")
@click.option("--host", metavar="NAME", help="Name of this host; else the machine's own.")
@click.option("--data", metavar="DIR", help="Folder for cached sources and offsets of log files.")
@click.option(
    "--queue", "queues", multiple=True, metavar="NAME", help="Queue to take from; repeatable."
)
@click.option("--slots", type=click.IntRange(min=0), help="Synchronous jobs at once; 0: cores.")
@click.option(
    "--name", metavar="NAME", hidden=True, help="Name of this worker, as its gateway knows it."
)
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
    name: str | None,
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
    _serve(loaded, parent_pipe, name)


def _serve(loaded: "Loaded[WorkerFile]", parent_pipe: int | None, name: str | None) -> None:
    # structlog loads rich, 5 MiB, wherever it finds it, to draw tracebacks in colour: a worker draws none.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # as Python's import system documents it

    from dts_core.children.orphans import forbid_inspection
    from dts_core.logs import log_to
    from dts_core.loops import run as run_loop
    from dts_core.places import is_stdio

    settings = loaded.settings
    stdio = None
    if is_stdio(settings.broker.url):
        from dts_core.brokers.stdio import Stdio

        stdio = Stdio()
    forbid_inspection()
    with log_to(settings.logging):
        run_loop(lambda: _work(loaded, parent_pipe, name, stdio), loop=settings.worker.loop)


async def _work(
    loaded: "Loaded[WorkerFile]", parent_pipe: int | None, given: str | None, stdio: "Stdio | None"
) -> None:
    import asyncio

    import structlog

    from dts_core.hosting.keywatch import KeyWatch
    from dts_core.hosting.notify import Notifier
    from dts_core.hosting.opening import opener_of
    from dts_core.hosting.service import told
    from dts_core.hosting.stopping import stop_limit, stop_requests
    from dts_core.hosting.trust import named_keys, trust_of
    from dts_core.hosting.waiting import Stopped
    from dts_core.wiring.worker import worker_line
    from dts_worker.identity import data_folder, host_name, worker_name
    from dts_worker.worker import Worker

    settings = loaded.settings
    host = host_name(settings.worker.host)
    name = given or worker_name(host)
    await asyncio.to_thread(named_keys, settings)  # a mistake is told before anything is waited for
    structlog.get_logger(__name__).info("starting", worker=name, settings=loaded.story())
    line = worker_line(settings.broker, host=host, worker=name, stdio=stdio)
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
        _until_stream_ends(stdio, at_once, stop),
        stop_limit(at_once, END_SECONDS),
    ):
        try:
            await line.start(stop, notifier.status)
            trust = await asyncio.to_thread(trust_of, settings)
            parts.watch_keys(KeyWatch(settings, trust, parts.loader.retrust))
            parts.executor.secrets.opener = await asyncio.to_thread(opener_of, settings)
            async with told(
                notifier, ready=parts.ready, stop=stop, probe=line.probe, status=f"ready as {name}"
            ):
                await parts.run(stop, at_once=at_once)
        except Stopped:
            pass  # asked to, before there was anything to stop
        finally:
            await line.close()


@contextlib.contextmanager
def _until_stream_ends(stdio: "Stdio | None", *events: "asyncio.Event") -> "Iterator[None]":
    """Set the events when the stream of standard input and output is over: nobody wants what runs here any more."""
    if stdio is None:
        yield
        return

    def on_over() -> None:
        for event in events:
            event.set()

    stdio.on_over = on_over
    yield


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
