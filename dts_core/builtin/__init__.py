"""The control side's own functions, called as `dts/NAME`: a module each, with an `async def main(...)`.

They run in the server's loop, so they only await; what they may use comes from `current()`. Their parameters and
docstrings are read by parsing, like any function's. A plugin of an administrator is not trusted so far: it runs in a
child process, with the API of any job.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dts_core.services.container import Services

__all__ = ["Calling", "calling", "current"]


class Calling(Protocol):
    """The call that runs, as its function sees it."""

    @property
    def job(self) -> str:
        """Id of the job."""
        ...

    @property
    def submitter(self) -> str:
        """Who called."""
        ...

    @property
    def services(self) -> "Services":
        """The control side's rules."""
        ...

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far it is, 0..1."""
        ...

    def log(self, text: str, level: int = 20) -> None:
        """Add a record to the job's log; levels as in logging."""
        ...


calling: ContextVar[Calling] = ContextVar("calling")
"""Set by the internal worker for the length of a call."""


def current() -> Calling:
    """The call that runs here. Only for functions of this package."""
    return calling.get()
