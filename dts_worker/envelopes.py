"""Whether jobs are the server's own, as it accepted them: for workers that were told to run no others."""

from dts_core.model import JobMessage
from dts_core.signing import Unsigned
from dts_worker.loader import Loader

__all__ = ["Envelopes"]


class Envelopes:
    """Checks the envelopes of jobs by the keys that the loader goes by.

    Args:
        loader: Has the keys, and knows how to look for new ones.
    """

    def __init__(self, loader: Loader) -> None:
        self.are_wanted = False
        """Whether every job needs one."""
        self._loader = loader

    def refusal(self, job: JobMessage, queue: str) -> Unsigned | None:
        """Why a job that came by this queue is not run; None: it is the server's own."""
        try:
            if self._loader.trust is None:
                raise Unsigned("no key is here that could have signed it.")
            self._loader.trust.check_job(job, queue)
        except Unsigned as error:
            return error
        return None

    def may_be_new(self, job: JobMessage) -> bool:
        """Whether a key may have signed it that has come since the keys were read."""
        trust, signature = self._loader.trust, job.envelope
        if trust is None or signature is None or self._loader.renew is None:
            return False
        return signature.key not in trust.ids

    async def look_again(self, job: JobMessage, queue: str) -> Unsigned | None:
        """As `refusal`, once the keys were read again."""
        if self._loader.renew is not None:
            await self._loader.renew()
        return self.refusal(job, queue)
