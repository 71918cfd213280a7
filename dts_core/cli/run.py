"""`dts run`: what `make run` calls. The stack of the default data folder, and the console on it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from dts_core.cli.host_options import FILE, SETTINGS
from dts_core.errors import DtsError
from dts_core.text import clean

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0
JOB_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.05


@click.command(context_settings=SETTINGS)
@click.option("--data", type=FILE, metavar="DIR", envvar="DTS_DATA", help="Data folder (DTS_DATA).")
def run(data: Path | None) -> None:
    """Start everything on this machine and open the console; what was started ends with it.

    A stack that runs already on the data folder is used as it is. Without a terminal, one sample
    job is run and the dashboard is printed once.
    """
    from dts_core.places import default_data

    folder = (data or default_data()).expanduser().absolute()
    signal.signal(signal.SIGTERM, _stopped)
    with _stack(folder):
        if sys.stdin.isatty() and sys.stdout.isatty():
            _console(folder, [])
        else:
            _show(folder)


def _stopped(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _stack(folder: Path) -> Iterator[None]:
    """A running stack of the folder: the one there is, or a child that ends with the block."""
    from dts_core.hosting.folder import prepare_folder

    prepare_folder(folder)
    if _is_owned(folder):
        _say(f"using the stack that runs on {folder}")
        _wait(folder, None)
        yield
        return
    _say(f"starting on {folder}")
    with _child(folder) as child:
        _wait(folder, child)
        yield


def _is_owned(folder: Path) -> bool:
    from dts_core.errors import AlreadyOwned
    from dts_core.sqlite import OwnerLock

    try:
        OwnerLock(folder).release()
    except AlreadyOwned:
        return True
    return False


@contextlib.contextmanager
def _child(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A `dts up` whose life hangs on this process by a pipe, its words in logs/up.log."""
    reading, writing = os.pipe()
    log = folder / "logs" / "up.log"
    (folder / "endpoint.json").unlink(missing_ok=True)  # of a stack that was killed
    command = [sys.executable, "-m", "dts_core", "up", "--data", str(folder)]
    try:
        with log.open("wb") as out:
            child = subprocess.Popen(
                [*command, "--parent-pipe", str(reading)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=(reading,),
                start_new_session=True,  # Ctrl-C belongs to the console
            )
    finally:
        os.close(reading)
    try:
        yield child
    finally:
        os.close(writing)
        _end(child)


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _wait(folder: Path, child: "subprocess.Popen[bytes] | None") -> None:
    """Wait until the server answers.

    Raises:
        DtsError: It ended, or did not answer in time; with its last words.
    """
    from dts_core.clients import SyncAdminClient
    from dts_core.clients.endpoint import local_endpoint

    deadline = time.monotonic() + READY_SECONDS
    log = folder / "logs" / "up.log"
    while True:
        if child is not None and child.poll() is not None:
            raise DtsError(_last_line(log) or f"`dts up` ended with status {child.returncode}.")
        try:
            found = local_endpoint(folder)
            with SyncAdminClient(found.url, found.token) as client:
                client.session()
        except DtsError as error:
            if time.monotonic() > deadline:
                raise DtsError(
                    f"the stack on {folder} did not answer within {READY_SECONDS:.0f} s: {error}",
                    advice=f"See {log}.",
                ) from error
        else:
            return
        time.sleep(POLL_SECONDS)


def _last_line(log: Path) -> str:
    lines = log.read_bytes().decode("utf-8", "replace").strip().splitlines()
    return clean(lines[-1].removeprefix("dts: "), 1000) if lines else ""


def _console(folder: Path, options: list[str]) -> None:
    """Run the console in this terminal, to its end.

    Raises:
        DtsError: It failed.
    """
    sys.stdout.flush()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the console's to answer
    console = subprocess.Popen(
        [sys.executable, "-m", "dts_tui.cli", "--data", str(folder), *options],
    )
    try:
        status = console.wait()
    finally:
        if console.poll() is None:
            console.terminate()
            console.wait(STOP_SECONDS)
        signal.signal(signal.SIGINT, before)
    if status:
        raise DtsError(f"the console ended with status {status}.")


def _show(folder: Path) -> None:
    """Run one sample job, print its result, then the dashboard once."""
    from dts_core.cli.client_common import print_line
    from dts_core.cli.client_watch import print_dashboard
    from dts_core.clients import SyncAdminClient
    from dts_core.clients.endpoint import local_endpoint

    found = local_endpoint(folder)
    with SyncAdminClient(found.url, found.token, verify=found.ca) as client:
        _run_sample(client)
        _await_host(client)
        print_line()
        print_dashboard(client)


def _run_sample(client: Any) -> None:
    import msgspec

    from dts_core.resources import etc_folder

    readme = etc_folder().parent / "README.md"
    file = readme if readme.is_file() else etc_folder() / "server.toml"
    job = client.submit("sample/wordcount", args=[str(file)], wait=JOB_SECONDS)
    if job.state != "done":
        reason = f": {job.error.type}: {job.error.message}" if job.error else ""
        raise DtsError(f"job {job.id} of sample/wordcount is {job.state}{clean(reason)}.")
    click.echo(f"job {job.id}: {job.function} {file} on {clean(job.host)}")
    click.echo(clean(msgspec.json.encode(job.result).decode(), 4000))
    click.echo()


def _await_host(client: Any) -> None:
    """Wait for the first heartbeat; the dashboard is printed without one rather than not at all."""
    deadline = time.monotonic() + 10
    while not client.hosts().items and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _say(text: str) -> None:
    click.echo(f"dts: {clean(text)}", err=True)
