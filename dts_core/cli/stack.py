"""A server and what belongs to it in one process, on any engine: from a plan to a clean end.

Every part is a task of one group: a part that dies takes the process down with its reason, rather than leave a stack
that only looks alive. Stopping goes the way of the work: no new requests, workers drain, daemons finish, store closes.
"""

import asyncio
import contextlib
import logging
import os
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import msgspec

from dts_core import loops, places
from dts_core.cli.anteroom import Anteroom
from dts_core.cli.http import HttpServer
from dts_core.cli.workers import drain_of, worker_command
from dts_core.config import Loaded
from dts_core.daemons.base import PartDied, running
from dts_core.hosting.credentials import Administrator
from dts_core.hosting.fleet import Fleet
from dts_core.hosting.folder import prepare_folder
from dts_core.hosting.listening import bind, check_exposure, url_of
from dts_core.hosting.notify import Notifier
from dts_core.hosting.samples import add_samples
from dts_core.hosting.service import told
from dts_core.hosting.stopping import stop_limit, stop_requests
from dts_core.hosting.waiting import Stopped, patiently
from dts_core.logs import log_to
from dts_core.plain.words import plural
from dts_core.private import write_private
from dts_core.settings import ServerFile, WorkerFile
from dts_core.sqlite import OwnerLock
from dts_core.text import clean
from dts_core.wiring.control import open_control
from dts_core.wiring.ports import Control, Waiting

__all__ = ["Plan", "run_stack"]

LAST_SECONDS: Final = 3.0
"""How long a worker may take to end after its jobs had their time to."""
STOP_SECONDS: Final = 15.0
"""After that long, and the workers' time, the process ends without ceremony."""
_log = logging.getLogger(__name__)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to start."""

    folder: Path
    """The data folder; with MongoDB that of admin.json, audit.key and the log."""
    layout: places.Layout
    loaded: Loaded[ServerFile]
    worker: Loaded[WorkerFile] | None = None
    """Settings of the workers; None when none is started."""
    workers: int = 0
    with_samples: bool = False
    """Whether a new store gets the namespace `sample`."""
    adds_samples: bool = False
    """Whether a store that is in use gets it too."""
    parent_pipe: int | None = None


def run_stack(plan: Plan) -> None:
    """Run the stack until it is asked to stop.

    Raises:
        DtsError: It cannot start, or a part of it died.
    """
    settings = plan.loaded.settings
    umask = os.umask(0o077)
    check_exposure(settings.server)
    if not plan.layout.rabbitmq:
        places.fitting_socket(plan.folder / places.SOCKET)
    folder = prepare_folder(plan.folder)
    lock = OwnerLock(folder)
    try:
        server = settings.server
        or_any = not plan.loaded.given("server.port")
        with (
            contextlib.closing(bind(server.host, server.port, or_any=or_any)) as listener,
            log_to(settings.logging, file=folder / "logs" / "server.log"),
        ):
            loops.run(lambda: _run(plan, folder, listener, umask), loop=settings.loop)
    finally:
        lock.release()


async def _run(plan: Plan, folder: Path, listener: socket.socket, umask: int) -> None:
    with (
        contextlib.closing(Notifier.from_environment()) as notifier,
        stop_requests(parent_pipe=plan.parent_pipe) as stop,
    ):
        limit = stop_limit(stop, STOP_SECONDS + _drain_seconds(plan))
        anteroom = Anteroom(listener, plan.loaded.settings.server)

        def tell(words: str) -> None:
            notifier.status(words)
            anteroom.tell(words)

        with contextlib.suppress(Stopped), limit:
            waiting = Waiting(stop, tell)
            opened = open_control(plan.layout, folder, plan.loaded.settings, waiting)
            async with contextlib.aclosing(anteroom), opened as control:
                administrator = await patiently(
                    "the store", lambda: _prepare(plan, folder, control), stop, tell=tell
                )
                await anteroom.aclose()
                await _run_control(
                    plan, folder, listener, umask, control, stop, notifier, administrator
                )
        _log.info("stopped")


async def _run_control(
    plan: Plan,
    folder: Path,
    listener: socket.socket,
    umask: int,
    control: Control,
    stop: asyncio.Event,
    notifier: Notifier,
    administrator: Administrator,
) -> None:
    """Serve until `stop` is set; then end in the order of the work."""
    _log.info("%s", plan.loaded.story())
    settings = plan.loaded.settings.server
    http = HttpServer(control.app, listener, settings)
    fleet = _fleet(plan, folder, umask)
    ready = asyncio.Event()
    url = url_of(listener, tls=bool(settings.tls_cert))
    async with (
        told(notifier, ready=ready, stop=stop, probe=control.probe, status=f"ready at {url}"),
        running({**control.parts, "credentials": administrator.keep}) as group,
    ):
        serving = group.create_task(_serve(http, stop), name="http")
        await http.started()
        with _published(folder, url, settings.tls_cert):
            _announce(plan, url, administrator.path)
            ready.set()
            keeping = group.create_task(fleet.run(), name="workers")
            await stop.wait()
            control.services.drain()
            http.stop()
            await fleet.stop(_drain_seconds(plan))
            keeping.cancel()
            await asyncio.wait([serving])


def _fleet(plan: Plan, folder: Path, umask: int) -> Fleet:
    if plan.worker is None:
        return Fleet(lambda number, pipe: ([], {}), count=0, logs=folder / "logs")
    command = worker_command(folder, plan.worker, umask=umask)
    return Fleet(command, count=plan.workers, logs=folder / "logs")


def _drain_seconds(plan: Plan) -> float:
    return LAST_SECONDS + (drain_of(plan.worker) if plan.worker is not None else 0.0)


async def _prepare(plan: Plan, folder: Path, control: Control) -> Administrator:
    """See that there is an administrator, and samples where they are wanted."""
    administrator = Administrator(folder, control.services.users, control.services.sessions)
    await control.services.signing.sign_unsigned()
    if plan.adds_samples or (plan.with_samples and await administrator.is_new()):
        await add_samples(control.services)
    await administrator.ensure()
    return administrator


async def _serve(http: HttpServer, stop: asyncio.Event) -> None:
    await http.run()
    if not stop.is_set():
        raise PartDied("the HTTP server ended by itself.")


@contextlib.contextmanager
def _published(folder: Path, url: str, certificate: str) -> Iterator[None]:
    """Tell local clients where the server is, as long as it is there."""
    path = folder / places.ENDPOINT
    content = msgspec.json.encode({"url": url, "pid": os.getpid(), "ca": certificate})
    write_private(path, content)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _announce(plan: Plan, url: str, credentials: Path) -> None:
    wanted = plan.loaded.settings.server.port
    if wanted and not url.endswith(f":{wanted}"):
        click.echo(f"dts: port {wanted} is taken, another one is used", err=True)
    with contextlib.suppress(BrokenPipeError):  # nobody reads it: endpoint.json says the same
        click.echo(_story(plan, url, credentials))
    started = f", {plural(plan.workers, 'worker')}" if plan.worker is not None else ""
    _log.info("ready at %s%s", url, started)


def _story(plan: Plan, url: str, credentials: Path) -> str:
    """Where it is, and what to do next."""
    folder = plan.folder
    own = folder == places.default_data().expanduser().absolute()
    data = "" if own else f" --data {shlex.quote(clean(str(folder)))}"
    first = ("a first function:", f"dts functions push NAMESPACE/NAME FILE.py{data}")
    if plan.with_samples or plan.adds_samples:
        first = ("a first job:", f"dts submit sample/steps --wait{data}")
    lines = [
        ("dts runs at", url),
        ("credentials of the administrator:", clean(str(credentials))),
        ("the console, in another terminal:", f"dts-tui{data}"),
        first,
        ("to stop it:", "Ctrl-C, or SIGTERM"),
    ]
    return "\n".join(f"{name} {value}" for name, value in lines)
