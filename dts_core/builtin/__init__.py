"""The control side's own functions, called as `dts/NAME`: a module each, with an `async def main(...)`.

They run in the server's loop, so they only await; what they may use comes from `current()`. Their parameters and
docstrings are read by parsing, like any function's. A plugin of an administrator is not trusted so far: it runs in a
child process, with the API of any job.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from dts_core.errors import DtsError

if TYPE_CHECKING:
    from dts_core.remote import Remotes
    from dts_core.services.container import Services

__all__ = ["Calling", "NotAgain", "calling", "current"]


class NotAgain(DtsError):
    """A call failed for a reason that trying it again cannot mend: its job ends at once."""

    code = "not_again"


class Calling(Protocol):
    """The call that runs, as its function sees it."""

    @property
    def job(self) -> str:
        """Id of the job."""
        ...

    @property
    def epoch(self) -> int:
        """Of the claim that it runs under: higher than that of any run before."""
        ...

    @property
    def submitter(self) -> str:
        """Who called."""
        ...

    @property
    def services(self) -> "Services":
        """The control side's rules."""
        ...

    @property
    def remotes(self) -> "Remotes":
        """Sessions with virtual hosts."""
        ...

    @property
    def is_cancelled(self) -> bool:
        """Whether it was told to stop for good; else a cancellation means that this process stops."""
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
