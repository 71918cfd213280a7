"""dts: a distributed task system with a terminal ops console. This package is everything without a screen.

`from dts_core import job` inside a function gives the running job (see `dts_core.runner.jobapi`).
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "job"]


def __getattr__(name: str) -> Any:
    if name == "job":
        from dts_core.runner.jobapi import job

        return job
    raise AttributeError(f"module 'dts_core' has no attribute {name!r}")
