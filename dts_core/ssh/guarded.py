"""A plain command with a guard beside it on the far host."""

import asyncio
from collections.abc import Sequence
from typing import Final

from dts_core.errors import CommandTimedOut, InterpreterUnfit, InvalidInput, SessionLost
from dts_core.ssh.bootstrap import UNFIT, bundle, start_line
from dts_core.ssh.channel import STDERR, Receive
from dts_core.ssh.outcome import HostState, Outcome
from dts_core.ssh.output import KeptOutput
from dts_core.ssh.quoting import command_line
from dts_core.ssh.session import Session
from dts_core.text import one_line

__all__ = ["GuardedCommand"]

NOISE_MAX: Final = 64 << 10
STDIN_MAX: Final = 1 << 20
END_SECONDS: Final = 5.0


class GuardedCommand:
    """One run of it.

    Raises:
        InvalidInput: An empty command, a NUL, or more than 1 MiB of standard input.
    """

    def __init__(
        self, mark: str, argv: Sequence[str], stdin: bytes, kept_max: int, receive: Receive | None
    ) -> None:
        command_line(argv)
        if len(stdin) > STDIN_MAX:
            text = f"at most {STDIN_MAX} bytes; copy a file there instead"
            raise InvalidInput(f"stdin: {text}.", fields={"stdin": text})
        self._options = {"mark": mark, "argv": list(argv), "stdin": stdin}
        self._mark = mark.encode() + b":"
        self.stdout = KeptOutput(kept_max)
        self.stderr = KeptOutput(kept_max)
        self._receive = receive
        self._noise: list[bytes | None] = [b"", b""]
        """What each stream has said before its mark; None behind it."""

    async def run(self, session: Session, timeout: float) -> Outcome:
        """See `Calls.run`.

        Raises:
            CommandTimedOut: The time is over; it has been ended.
            InterpreterUnfit: No Python there; nothing was run.
            SessionLost: The connection ended first.
        """
        line = start_line(session.target.python)
        async with session.channel(line, self._take) as channel:
            try:
                async with asyncio.timeout(timeout):
                    channel.write(bundle(self._options, near=session.is_near))
                    await asyncio.shield(channel.ended)
            except TimeoutError:
                channel.write_eof()
                await asyncio.wait([channel.ended], timeout=END_SECONDS)
                text = f"it ran for {timeout:g} s and was ended"
                raise CommandTimedOut(text, host=session.target.id) from None
            except asyncio.CancelledError:
                channel.write_eof()
                await asyncio.wait([channel.ended], timeout=END_SECONDS)
                raise
            if self._noise[STDERR] is not None:
                raise self._unfit(session)
            if not channel.has_status:
                raise session.lost()
            return Outcome(
                host=session.target.id,
                state=HostState.OK if channel.exit_status == 0 else HostState.FAILED,
                stdout=self.stdout.kept(),
                stderr=self.stderr.kept(),
                output_total=self.stdout.total + self.stderr.total,
                stderr_total=self.stderr.total,
                exit_status=channel.exit_status,
                exit_signal=one_line(channel.exit_signal, 32),
            )

    def _unfit(self, session: Session) -> InterpreterUnfit | SessionLost:
        said = (self._noise[STDERR] or b"").decode("utf-8", "replace").strip()
        if UNFIT in said:
            return InterpreterUnfit("it has no Python that is new enough", host=session.target.id)
        if not said:
            return session.lost()
        last = one_line(said.rsplit("\n", 1)[-1])
        return InterpreterUnfit(f"its Python does not start: {last}", host=session.target.id)

    def _take(self, stream: int, data: bytes) -> None:
        noise = self._noise[stream]
        if noise is not None:
            noise += data
            _, mark, data = noise.partition(self._mark)
            if not mark:
                self._noise[stream] = noise[-NOISE_MAX:]
                return
            self._noise[stream] = None
        if not data:
            return
        (self.stderr if stream == STDERR else self.stdout).take(data)
        if self._receive is not None:
            self._receive(stream, data)
