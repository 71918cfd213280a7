"""Tests that run on both event loops, with a pool of children of their own."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dts_core import loops
from dts_core.children import Children, ChildrenSettings, ChildSettings

__all__ = ["SETTINGS", "on_both_loops"]

SETTINGS = ChildrenSettings(slots=2, child=ChildSettings(host="h", lines_per_second=50))


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test on asyncio's loop and on uvloop; its parameter `children` is an open pool."""
    parameters = inspect.signature(test).parameters
    wanted = [each for name, each in parameters.items() if name != "children"]
    loop = inspect.Parameter("loop", inspect.Parameter.KEYWORD_ONLY)

    async def scenario(given: dict[str, Any]) -> None:
        if "children" not in parameters:
            await test(**given)
            return
        async with Children(SETTINGS) as pool:
            await test(children=pool, **given)

    @functools.wraps(test)
    def run(*, loop: str, **given: Any) -> None:
        loops.run(lambda: scenario(given), loop=loop)

    del run.__dict__["__wrapped__"]
    run.__signature__ = inspect.Signature([*wanted, loop])  # type: ignore[attr-defined]
    marked: Callable[..., None] = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])(run)
    return marked
