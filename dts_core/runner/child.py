"""Start of a child: descriptors, limits, streams, then orders until the worker closes the pipe."""

from __future__ import annotations

import faulthandler
import os
import sys

from dts_core.runner import frames, hardening, jobapi
from dts_core.runner.channel import Channel
from dts_core.runner.plain import signal
from dts_core.runner.streams import Streams, inherit_context, inherit_context_in_pools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

LOOP_ENDED = 71
"""Exit code when user code ended the event loop."""


def main() -> None:
    """Serve until the end; everything this process started ends with it."""
    import json

    options = json.loads(sys.argv[1])
    sys.argv[1:] = []
    serve(options)


def serve(options: dict[str, Any], greeting: bytes = b"") -> None:
    """The same with options that came another way; `greeting` goes before the first frame."""
    for fd in (options["in"], options["out"]):
        os.set_inheritable(fd, False)
    hardening.harden(options["parent"], options["memory"])
    faulthandler.enable(2)
    sys.meta_path.append(_StandIn())
    streams = Streams()
    inherit_context()
    channel = Channel(options["in"], options["out"])
    if options["mode"] == "async":
        # A question that comes before the loop can answer it.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        import asyncio  # noqa: F401 - ready means ready: a loop that does not answer is taken for blocked
    version = ".".join(map(str, sys.version_info[:3]))
    channel.send(greeting + frames.pack(frames.READY, 0, version.encode("ascii")))
    serve_mode = _serve_async if options["mode"] == "async" else _serve_sync
    try:
        serve_mode(channel, streams, options)
    except BaseException:  # noqa: BLE001 - user code can end the event loop; no clean-up of its may hold us up
        faulthandler.dump_traceback(2)
        os._exit(LOOP_ENDED)
    os.killpg(0, signal.SIGKILL)


def _serve_sync(channel: Channel, streams: Streams, options: Any) -> None:
    from dts_core.runner.sync_child import SyncChild

    SyncChild(channel, streams, options["host"], options["lines"]).serve()


def _serve_async(channel: Channel, streams: Streams, options: Any) -> None:
    import asyncio
    import threading

    from dts_core.runner.async_child import AsyncChild

    inherit_context_in_pools()
    child = AsyncChild(channel, streams, options["host"], options["lines"])
    loop = asyncio.new_event_loop()
    threading.current_thread().name = "jobs"
    loop.run_until_complete(child.serve())


class _StandIn:
    """Finds `dts_core` where the interpreter has none: a module with nothing but `job` and `Secret`.

    It stands last, so that a real one is preferred; that one takes them from the module that is loaded here already.
    """

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Answer for the one name."""
        if name != "dts_core":
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> ModuleType | None:
        """Let the import system make a plain module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Give it `job` and `Secret`."""
        names: list[str] = ["job", "Secret"]
        module.__all__ = names  # type: ignore[attr-defined]
        module.job = jobapi.job  # type: ignore[attr-defined]
        module.__getattr__ = jobapi.__getattr__  # type: ignore[method-assign]
