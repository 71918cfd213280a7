"""Calls for far hosts, from source."""

import hashlib
import json
from typing import Any

import psutil

from dts_core.children.calls import Call
from dts_core.names import new_id
from dts_core.testing import wait_until


def far_call(source: str, *args: Any, **options: Any) -> Call:
    """A call of the function in `source` with these arguments."""
    data = source.encode()
    return Call(
        id=new_id(),
        function="test/far",
        hash=hashlib.sha256(data).hexdigest(),
        source=data,
        args=json.dumps(args).encode(),
        **options,
    )


async def until_gone(*pids: int) -> None:
    """Wait until these processes have ended."""

    def are_gone() -> bool:
        return not any(_lives(pid) for pid in pids)

    await wait_until(are_gone, what=f"processes {pids} have ended")


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
