"""Shells: what is on record of them."""

import asyncio
from typing import Any

import pytest

from dts_core.services.shells import BEGIN, END, Shells
from dts_core.services.users import LOCAL
from dts_core.settings import ShellSettings
from dts_core.testing import ManualClock
from dts_core.views.shell import ShellQuery


class Writer:
    """Keeps what it is told at once, and answers the begin never."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, Any]] = []
        self.begun = asyncio.Event()

    async def record(self, caller: Any, collection: str, host: str, op_type: str, ops: Any) -> None:
        self.kept.append((op_type, ops))
        if op_type == BEGIN:
            self.begun.set()
            await asyncio.Event().wait()


async def test_a_begin_that_nobody_waited_for_has_its_end() -> None:
    """Who leaves while it is being written may be on record: so is that they came to nothing."""
    writer: Any = Writer()
    unasked: Any = None
    shells = Shells(unasked, unasked, writer, ManualClock(), ShellSettings())

    def reach(*_: Any) -> Any:
        raise AssertionError("the host is not to be reached")

    shells.reach = reach

    async def use() -> None:
        async with shells.open(LOCAL, "web-1", ShellQuery()):
            raise AssertionError("it is not open")

    using = asyncio.create_task(use())
    await writer.begun.wait()
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert [op_type for op_type, _ in writer.kept] == [BEGIN, END]
    assert writer.kept[1][1]["how"] == [None, "cut off"]
    assert shells.open_now == []
