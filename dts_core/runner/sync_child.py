"""A child that runs one job at a time, in its main thread."""

from __future__ import annotations

import os
import sys
import time

from dts_core.runner import frames
from dts_core.runner.channel import Channel
from dts_core.runner.hardening import flush_c_streams
from dts_core.runner.jobapi import Run, Running, current
from dts_core.runner.loading import Modules
from dts_core.runner.outcome import failure_frame, parse_arguments, result_frame
from dts_core.runner.plain import signal
from dts_core.runner.values import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dts_core.runner.streams import Streams


STAMP_SECONDS = 3.0
"""Longer than between two time stamps of any file system (FAT has two seconds)."""


class SyncChild:
    """Reads orders while idle; while a job runs, only `job.cancelled` looks at the pipe."""

    def __init__(self, channel: Channel, streams: Streams, host: str, lines: int) -> None:
        self._channel = channel
        self._streams = streams
        self._host = host
        self._lines = lines
        self._modules = Modules()
        self._folder = Folder()

    def serve(self) -> None:
        """Work until the worker closes the pipe."""
        while True:
            found = self._channel.wait()
            if found is None:
                return
            for kind, number, body in found:
                self._obey(kind, number, body)

    def _obey(self, kind: int, number: int, body: bytes) -> None:
        if kind == frames.JOB:
            self._run(number, body)
        elif kind == frames.SOURCE:
            take_source(self._modules, body)
        elif kind == frames.FORGET:
            self._modules.forget(body.decode("ascii"))
        elif kind == frames.CHECK:
            self._channel.send(check(self._modules, number, body))
        elif kind == frames.PING:
            self._channel.send(frames.pack(frames.PONG, number, b"\0\0\0\0"))

    def _run(self, number: int, body: bytes) -> None:
        header, args, kwargs = split_job(body)
        run = Run(number, header, self._channel, self._host, self._lines)
        threads = count_threads()
        self._streams.restore()
        Running.runs[number] = run
        token = current.set(run)
        try:
            value = self._call(header[0], args, kwargs)
            answer = result_frame(number, value, run.result_max)
        except BaseException as error:  # noqa: BLE001 - SystemExit and its kind are failed attempts too
            answer = failure_frame(number, error)
        if os.getpid() != self._channel.pid:
            os._exit(0)  # user code forked and came back here in the copy
        run.ended = True
        current.reset(token)
        self._end(run, answer, threads)

    def _call(self, content_hash: str, args: bytes, kwargs: bytes) -> Any:
        main = self._modules.load(content_hash).main
        positional, named = parse_arguments(args, kwargs)
        value = main(*positional, **named)
        if value is not None and hasattr(value, "__await__"):
            import asyncio

            return asyncio.run(_await(value))
        return value

    def _end(self, run: Run, answer: bytes, threads: int) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        flush_c_streams()
        words = self._channel.last_words(run)
        Running.runs.pop(run.number, None)
        reason = self._leftover(threads)
        if reason:
            words += frames.pack(frames.RETIRE, 0, reason.encode("utf-8"))
        self._channel.send(words + answer)

    def _leftover(self, threads: int) -> str | None:
        """Why this process must not run another job; None when the job left it clean."""
        if count_threads() > threads:
            return "a job left a thread running"
        if has_descendants():
            return "a job left a process running"
        if not self._streams.intact():
            return "a job closed or replaced standard output"
        return None if self._folder.clean() else "a job's files could not be removed"


class Folder:
    """The working folder of this process, as each job finds it: empty."""

    def __init__(self) -> None:
        self._path = os.getcwd()
        self._seen: tuple[int, int, int] | None = None
        """Of the empty one, when it had been so for a while."""

    def clean(self) -> bool:
        """Empty it and go there; whether that was possible."""
        try:
            if _stamp(os.stat(".")) == self._seen:  # nothing came in; one call instead of seven
                return True
            os.chdir(self._path)
            for entry in os.listdir("."):
                self._remove(os.path.join(self._path, entry))
            self._note(os.stat("."))
        except OSError:
            return False
        return True

    @staticmethod
    def _remove(path: str) -> None:
        if os.path.isdir(path) and not os.path.islink(path):
            import shutil  # most jobs leave no folder, and it takes 5 ms

            shutil.rmtree(path)
        else:
            os.unlink(path)

    def _note(self, stat: os.stat_result) -> None:
        """What was changed a moment ago may change again under the same time stamp."""
        is_old = abs(time.time() - stat.st_ctime) > STAMP_SECONDS
        self._seen = _stamp(stat) if is_old else None


def _stamp(stat: os.stat_result) -> tuple[int, int, int]:
    """Which folder, and when something last came or went; user code can set the other times, not this one."""
    return stat.st_dev, stat.st_ino, stat.st_ctime_ns


def count_threads() -> int:
    """Threads of this process, as far as `threading` knows; it is loaded by whoever wants more than one."""
    threading = sys.modules.get("threading")
    return threading.active_count() if threading is not None else 1


async def _await(value: Any) -> Any:
    return await value


def has_descendants() -> bool:
    """Whether a process that user code started still lives; the ended ones are reaped.

    The child is a subreaper on Linux, so that even a daemon that forked twice counts.
    """
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def split_job(body: bytes) -> tuple[list[Any], bytes, bytes]:
    """Header, args, kwargs of a JOB frame."""
    head, args = frames.JOB_HEAD.unpack_from(body)
    at = frames.JOB_HEAD.size
    header = loads(body[at : at + head])
    at += head
    return header, body[at : at + args], body[at + args :]


def take_source(modules: Modules, body: bytes) -> None:
    """Obey a SOURCE frame."""
    size = int.from_bytes(body[64:66], "big")
    modules.take(body[:64].decode("ascii"), body[66 : 66 + size].decode("utf-8"), body[66 + size :])


def check(modules: Modules, number: int, body: bytes) -> bytes:
    """Answer a CHECK frame."""
    try:
        modules.load(body.decode("ascii"))
    except BaseException as error:  # noqa: BLE001 - importing is running user code
        return failure_frame(number, error)
    return frames.pack(frames.RESULT, number, b"null")
