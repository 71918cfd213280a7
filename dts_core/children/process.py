"""One child process: its start, its pipes, its frames, its end."""

import asyncio
import contextlib
import os
import select
import signal
import threading
import time
from datetime import UTC, datetime
from typing import Protocol

from dts_core.children import orphans
from dts_core.children.calls import Running
from dts_core.children.launch import launch, remove_folder
from dts_core.children.orders import Orders
from dts_core.children.output import OutputPipe
from dts_core.children.settings import ChildSettings
from dts_core.runner import frames

READ_SIZE = 1 << 18
EXIT_SECONDS = 0.3
"""From the end of its pipe to its own end."""
READY_SECONDS = 30.0
"""Longest time that an interpreter may take to start."""
FLOOD_PAUSE_SECONDS = 0.1
BLOCKS = "this job keeps the event loop that it shares from running: make it synchronous, or await"
SLACK = 1 << 16
"""What a frame may be longer than the largest result."""


class Owner(Protocol):
    """Who is told what happens in a child; the pool."""

    def on_result(self, run: Running, body: bytes) -> None:
        """A call returned; `body` is not checked yet."""
        ...

    def on_failed(self, run: Running, body: bytes) -> None:
        """A call raised; `body` is the runner's JSON, not checked yet."""
        ...

    def on_free(self, child: "ChildProcess") -> None:
        """All frames of one read are handled, and at least one call ended."""
        ...

    def on_dead(self, child: "ChildProcess") -> None:
        """The process is gone and reaped; `child.runs` are the calls it left."""
        ...

    def on_stray(self, level: int, text: str) -> None:
        """A line of output that may be of any of several calls."""
        ...


class ChildProcess:
    """A child and the calls that run in it. Belongs to the loop's thread.

    The process is a session leader in a working folder of its own, with standard input from nowhere, standard output
    and error into pipes that are read here, and no other descriptor but its two pipes of frames.
    """

    def __init__(
        self,
        owner: Owner,
        settings: ChildSettings,
        *,
        shared: bool,
        frame_max: int,
        python: str = "",
    ) -> None:
        self.shared = shared
        self.python = python
        """Its interpreter; empty: that of the settings."""
        self.runs: dict[int, Running] = {}
        self.last: Running | None = None
        self.served = 0
        self.ready = False
        self.dead = False
        self.retiring = ""
        """Why it gets no further call; empty while it may."""
        self.broke_off = False
        """Whether its pipe ended before anybody meant it to."""
        self.answered_at = time.monotonic()
        """When it last answered anything; monotonic."""
        self._pinged_at = 0.0
        """When it was asked first since then; 0: not at all."""
        self.exit_code = 0
        self.ended_because = ""
        """Why we had to end it on its own account."""
        self.started_at = time.monotonic()
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._frame_max = frame_max + SLACK
        self._numbers = 0
        self._lines = settings.lines_per_second
        self._flooded = False
        self._family: dict[int, bytes] = {}
        self._rest = bytearray()
        self._missing = 0
        """Bytes that the frame in `_rest` still lacks: a long one is not copied anew with each read."""
        launched = launch(settings, shared=shared, python=python)
        self._process = launched.process
        self._folder = launched.folder
        self._orders = Orders(launched.orders, self._loop)
        self._fd_out = launched.answers
        self.pid = launched.process.pid
        self._overdue = self._loop.call_later(READY_SECONDS, self.kill)
        self._open(launched.out, launched.err)

    # --- start ------------------------------------------------------------------------------------

    def _open(self, out: int, err: int) -> None:
        self._loop.add_reader(self._fd_out, self._on_readable)
        self._output = [
            OutputPipe(out, 20, self.attributed, self._on_stray, self._lines),
            OutputPipe(err, 30, self.attributed, self._on_stray, self._lines),
        ]
        self._output_ready = select.poll()
        for pipe in self._output:
            self._output_ready.register(pipe.fd, select.POLLIN)
        self._watch_exit()

    def _on_stray(self, level: int, text: str) -> None:
        self._owner.on_stray(level, text)

    def _watch_exit(self) -> None:
        """Hear of the process's end from the kernel; where it offers no descriptor for that, by a waiting thread."""
        self._pidfd = -1
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._pidfd = os.pidfd_open(self.pid)
        if self._pidfd >= 0:
            self._loop.add_reader(self._pidfd, self._on_exit)
        else:
            name = f"dts-child-{self.pid}"
            threading.Thread(target=self._wait_for_exit, name=name, daemon=True).start()

    def _wait_for_exit(self) -> None:
        self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._on_exit)

    # --- orders -----------------------------------------------------------------------------------

    def start(self, run: Running) -> None:
        """Give it a call; its source goes before it when the child does not have it."""
        call = run.call
        self._numbers += 1
        run.number = number = self._numbers
        run.child = self
        run.started_at = datetime.now(UTC)
        self.runs[number] = run
        self.last = run
        self.served += 1
        if call.result_max + SLACK > self._frame_max:
            self._frame_max = call.result_max + SLACK
        self._orders.begin(number, call)

    def cancel(self, run: Running) -> None:
        """Set a call's flag (and cancel its task), and ask whether the loop answers."""
        self._orders.cancel(run.number)
        self._orders.ping()

    def ping(self) -> None:
        """Ask whether the loop answers."""
        if self._pinged_at <= self.answered_at:
            self._pinged_at = time.monotonic()
        self._orders.ping()

    def silent_seconds(self) -> float:
        """For how long it has not answered a ping; 0 when none waits."""
        if self._pinged_at <= self.answered_at:
            return 0.0
        return time.monotonic() - self._pinged_at

    def ask_who_blocks(self) -> None:
        """Let the main thread of a blocked shared child say which call holds it (an answer marks the run)."""
        orphans.send_signal(self.pid, signal.SIGUSR1)

    def terminate(self) -> None:
        """SIGTERM to the process group. What has left the group ends when the child has."""
        if not self.dead:
            self._family |= orphans.family(self.pid)
            orphans.send_group_signal(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to it and everything it started; its end is heard through `on_dead`."""
        if not self.dead:
            orphans.kill_tree(self.pid)

    def retire(self, reason: str) -> None:
        """No further call; it ends once it has none."""
        self.retiring = self.retiring or reason

    # --- in ---------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        """One read, however much there is, so that a talkative child leaves the loop to others."""
        before = len(self.runs)
        alive = self._read_frames()
        if len(self.runs) < before:
            self._owner.on_free(self)
        if self._flooded and not self.dead:
            self._rest_from_flood()
        if alive is None:
            self._loop.remove_reader(self._fd_out)
            self.broke_off = not self.retiring
            self.retire("it says nothing any more")
            self._loop.call_later(EXIT_SECONDS, self._end_mute)

    def _end_mute(self) -> None:
        """A child that is dying has its end by now; one that only closed its pipe, or broke the protocol, has not."""
        if not self.dead:
            self.ended_because = "it broke off the conversation with its worker"
            self.kill()

    def _read_frames(self) -> bool | None:
        """Read once: True when frames may have come, False when nothing is there, None when it is over."""
        try:
            data = os.read(self._fd_out, READ_SIZE)
        except BlockingIOError:
            return False
        if not data:
            return None
        if len(data) < self._missing:
            self._rest += data
            self._missing -= len(data)
            return True
        try:
            found, rest = frames.split(bytes(self._rest) + data, self._frame_max)
        except ValueError:
            return None
        self._rest = bytearray(rest)
        self._missing = 4 + int.from_bytes(rest[:4], "big") - len(rest) if len(rest) >= 9 else 0
        for frame in found:
            self._take(frame)
        return True

    def _take(self, frame: frames.Frame) -> None:
        kind, number, body = frame
        if kind in (frames.RESULT, frames.FAILED):
            run = self.runs.pop(number, None)
            if run is not None:
                self.answered_at = time.monotonic()
                if not self.shared:
                    self._drain_output()
                (self._owner.on_result if kind == frames.RESULT else self._owner.on_failed)(
                    run, body
                )
        elif kind in (frames.LOG, frames.PROGRESS):
            run = self.runs.get(number)
            if run is not None and self._passes(run):
                _report(run, kind, body)
        elif kind == frames.PONG:
            self._on_pong(self.runs.get(number), busy=body == b"busy")
        elif kind == frames.READY:
            self.ready = True
            self._overdue.cancel()
        elif kind == frames.RETIRE:
            self.retire(body[:200].decode("utf-8", "replace"))

    def _on_pong(self, run: Running | None, *, busy: bool) -> None:
        if not busy:
            self.answered_at = time.monotonic()
            for each in self.runs.values():
                each.blocked_loop = False
        elif run is not None and not run.blocked_loop:
            run.blocked_loop = True
            if run.on_log is not None:
                run.on_log(run.call, 30, BLOCKS)

    def _passes(self, run: Running) -> bool:
        """Whether one more report of a call may pass: the child counts too, but its frames can be forged."""
        if run.budget is None:
            run.budget = frames.LineBudget(2 * self._lines)
        if not run.budget.allows(time.monotonic()):
            self._flooded = True
            return False
        dropped = run.budget.take_dropped()
        if dropped and run.on_log is not None:
            run.on_log(run.call, 30, f"dropped {dropped} lines")
        return True

    def _rest_from_flood(self) -> None:
        """Let a child that floods us wait, so that it does not get the loop."""
        self._flooded = False
        self._loop.remove_reader(self._fd_out)
        self._loop.call_later(FLOOD_PAUSE_SECONDS, self._read_again)

    def _read_again(self) -> None:
        if not self.dead:
            self._loop.add_reader(self._fd_out, self._on_readable)

    def attributed(self) -> Running | None:
        """The call that output without a name belongs to."""
        if len(self.runs) == 1:
            return next(iter(self.runs.values()))
        return None if self.shared else self.last

    def _drain_output(self) -> None:
        """Read what C code printed before the call ended, so that it still belongs to it."""
        if self._output_ready.poll(0):
            for pipe in self._output:
                pipe.read()

    # --- end --------------------------------------------------------------------------------------

    def _on_exit(self) -> None:
        if self.dead or self._process.poll() is None:
            return
        while self._read_frames():
            pass  # what it said before it died counts; the pipe is finite now, user code's copies aside
        self.dead = True
        self.exit_code = self._process.returncode
        orphans.kill_family(self._family)
        for pipe in self._output:
            pipe.close()
        self._close()
        self._owner.on_dead(self)

    def _close(self) -> None:
        self._overdue.cancel()
        self._loop.remove_reader(self._fd_out)
        self._orders.close()
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        os.close(self._fd_out)
        self._loop.run_in_executor(None, remove_folder, self._folder)


def _report(run: Running, kind: int, body: bytes) -> None:
    """Hand a log record or a progress report on; a malformed one of a hostile child is dropped."""
    if kind == frames.LOG:
        if run.on_log is not None and body:
            text = body[1 : 1 + 4 * frames.RECORD_MAX].decode("utf-8", "backslashreplace")
            run.on_log(run.call, body[0], text)
    elif run.on_progress is not None and len(body) >= 8:
        (fraction,) = frames.PROGRESS_HEAD.unpack_from(body)
        if 0.0 <= fraction <= 1.0:
            text = body[8 : 8 + 4 * frames.TEXT_MAX].decode("utf-8", "backslashreplace")
            run.on_progress(run.call, fraction, text)
