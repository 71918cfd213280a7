"""Runs a module in a network namespace: `python -m tools.in_netns NAME MODULE ARGUMENTS...`, as one process."""

import ctypes
import os
import runpy
import sys
from typing import Final

CLONE_NEWNET: Final = 0x40000000


def main() -> None:
    """Enter the namespace, then be the module."""
    _, name, module, *arguments = sys.argv
    descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"cannot enter the namespace {name}")
    os.close(descriptor)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
