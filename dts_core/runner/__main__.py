"""Entry by path: `python -I .../dts_core/runner/__main__.py OPTIONS`.

The package is registered under its real name without importing `dts_core` itself: the interpreter may have none,
another version, or one that is slow to load. Whoever imports `dts_core.runner.jobapi` later gets the one that runs.
"""

import os
import sys
from importlib import import_module
from types import ModuleType


def start() -> None:
    """Register the package and serve.

    `frames` and `hardening` are loaded first and by name: `from dts_core.runner import frames` would look for
    `dts_core` when the package did not hold them already.
    """
    package = ModuleType("dts_core.runner")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules[package.__name__] = package
    for name in ("frames", "jobapi", "hardening", "child"):
        module = import_module(f"dts_core.runner.{name}")
    module.main()


if __name__ == "__main__":
    start()
