"""dts: a distributed task system with a terminal ops console. This package is everything without a screen.

`from dts_core import job` inside a function gives the running job, and `from dts_core import Secret` annotates an
argument that is stored sealed and shown to nobody (see `dts_core.runner.jobapi`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dts_core.runner.jobapi import Secret, job

__version__ = "0.1.0"
__all__ = ["Secret", "__version__", "job"]


def __getattr__(name: str) -> Any:
    if name in ("Secret", "job"):
        from dts_core.runner import jobapi

        return getattr(jobapi, name)
    raise AttributeError(f"module 'dts_core' has no attribute {name!r}")
