"""Keeps a worker running where there is no systemd: `python3 -I -S supervisor.py FOLDER` starts it and returns.

It starts the worker again when it ends, later each time, keeps its log within bounds, and ends it cleanly when it is
told to (SIGTERM). A worker whose supervisor has gone ends by itself. A file of its own: it is copied to the host.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Optional

FIRST_SECONDS = 1.0
MOST_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A worker that ran so long is started again at once."""
LOG_MAX = 5 << 20
LOGS_KEPT = 3
SPARE_SECONDS = 10.0


class Log:
    """What the worker prints: one file, and a few older ones."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._file).st_size

    def write(self, data: bytes) -> None:
        """Add to it; a full disk loses it, and nothing else."""
        if self._size + len(data) > LOG_MAX:
            self._rotate()
        with contextlib.suppress(OSError):
            self._size += os.write(self._file, data)

    def say(self, text: str) -> None:
        """A line of our own."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.write(f"{now} supervisor: {text}\n".encode())

    def _rotate(self) -> None:
        os.close(self._file)
        for number in range(LOGS_KEPT - 1, 0, -1):
            old = f"{self._path}.{number - 1}" if number > 1 else str(self._path)
            with contextlib.suppress(OSError):
                Path(old).replace(f"{self._path}.{number}")
        self._open()


class Supervisor:
    """Of one worker."""

    def __init__(self, folder: Path, log: Log) -> None:
        self._folder = folder
        self._log = log
        self._worker: Optional[subprocess.Popen[bytes]] = None
        self._stopping = 0.0
        """When it was told to stop; 0: it was not."""
        self._wake_in, wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(wake_out, False)
        signal.set_wakeup_fd(wake_out, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _on_stop(self, *_: object) -> None:
        if not self._stopping:
            self._stopping = time.monotonic()
        self._tell(signal.SIGTERM)

    def _tell(self, number: int) -> None:
        if self._worker is not None and self._worker.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._worker.pid, number)

    def run(self) -> None:
        """Until it is told to stop."""
        wait = FIRST_SECONDS
        while not self._stopping:
            begun = time.monotonic()
            try:
                how = self._run_once(_settings(self._folder))
            except (OSError, ValueError, KeyError) as error:
                how = f"does not start: {error}"
            lasted = time.monotonic() - begun
            wait = FIRST_SECONDS if lasted > STEADY_SECONDS else min(wait * 2, MOST_SECONDS)
            if not self._stopping:
                self._log.say(f"the worker {how}; it is started again in {wait:g} s")
                self._sleep(wait)
        self._log.say("told to stop, and done")

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            self._wait([], until - time.monotonic())

    def _run_once(self, settings: "dict[str, Any]") -> str:
        alive_in, alive_out = os.pipe()
        try:
            worker = self._worker = _launch(settings, alive_in)
        except BaseException:
            os.close(alive_out)
            raise
        finally:
            os.close(alive_in)
        assert worker.stdout is not None
        self._log.say(f"the worker runs as process {worker.pid}")
        try:
            self._follow(worker, worker.stdout.fileno(), settings["drain_seconds"] + SPARE_SECONDS)
        finally:
            os.close(alive_out)
            worker.stdout.close()
        return f"ended with {worker.returncode}"

    def _follow(self, worker: "subprocess.Popen[bytes]", out: int, patience: float) -> None:
        os.set_blocking(out, False)
        sources = [out]
        while worker.poll() is None:
            left = None
            if self._stopping:
                left = max(self._stopping + patience - time.monotonic(), 0.0)
                if not left:
                    self._log.say("the worker does not end in time, and is killed")
                    worker.kill()
                    worker.wait()
                    break
            for ready in self._wait(sources, left):
                if not self._copy(ready):
                    sources = []
        self._copy(out)

    def _copy(self, out: int) -> bool:
        try:
            data = os.read(out, 1 << 16)
        except BlockingIOError:
            return True
        if data:
            self._log.write(data)
        return bool(data)

    def _wait(self, sources: "list[int]", seconds: "Optional[float]") -> "list[int]":
        ready, _, _ = select.select([self._wake_in, *sources], [], [], seconds)
        if self._wake_in in ready:
            ready.remove(self._wake_in)
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_in, 4096)
        return ready


def _settings(folder: Path) -> "dict[str, Any]":
    found: dict[str, Any] = json.loads((folder / "service.json").read_text())
    return found


def _launch(settings: "dict[str, Any]", alive: int) -> "subprocess.Popen[bytes]":
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": settings["home"]}
    environment.update(_variables(Path(settings["env_file"])))
    account = settings["account"] or None
    options: dict[str, Any] = {}
    if account:
        options = {"user": account, "group": account, "extra_groups": []}
    return subprocess.Popen(
        [*settings["argv"], "--parent-pipe", str(alive)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=settings["folder"],
        pass_fds=(alive,),
        start_new_session=True,
        **options,
    )


def _variables(path: Path) -> "dict[str, str]":
    """NAME=VALUE lines, as systemd's EnvironmentFile without quotes."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def main(folder: Path) -> int:
    """Start a supervisor that goes on when we have returned; 0 as well when one runs."""
    lock = os.open(folder / "run" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 0
    if os.fork():
        return 0
    os.setsid()
    if os.fork():
        os._exit(0)
    _serve(folder, lock)
    os._exit(0)


def _serve(folder: Path, lock: int) -> None:
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d" % os.getpid(), 0)
    log = Log(folder / "run" / "worker.log")
    try:
        Supervisor(folder, log).run()
    except BaseException as error:
        log.say(f"ends: {type(error).__name__}: {error}")
        raise


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
