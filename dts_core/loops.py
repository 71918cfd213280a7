"""Which event loop a process runs on: uvloop where it is installed, asyncio's own elsewhere."""

import asyncio
import gc
import importlib.util
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from dts_core.errors import ConfigError

__all__ = ["loop_name", "run"]

T = TypeVar("T")
COLLECT_FROM: Final = 25_000
"""New objects from which cycles are looked for: more than a busy part has under way, so that most are gone by then."""


def loop_name(wanted: str = "auto") -> str:
    """What `auto`, `uvloop` or `asyncio` comes to here.

    Raises:
        ConfigError: uvloop is asked for and not installed.
    """
    if wanted == "asyncio":
        return wanted
    if importlib.util.find_spec("uvloop") is not None:
        return "uvloop"
    if wanted == "uvloop":
        raise ConfigError(
            "uvloop is not installed.", key="loop", advice='Install it, or set loop = "auto".'
        )
    return "asyncio"


def run(main: Callable[[], Coroutine[Any, Any, T]], *, loop: str = "auto") -> T:
    """Run the coroutine that `main` makes on a loop of the wanted kind, to its end."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if loop_name(loop) == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    _spare_the_collector()
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


def _spare_the_collector() -> None:
    """What is loaded by now stays for ever and need not be walked again; what comes in numbers leaves no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_FROM, 20, 20)
