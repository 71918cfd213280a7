"""Whose signatures count, and the check of one."""

from collections.abc import Iterable

from dts_core.errors import FunctionRefused
from dts_core.model import JobMessage, Signature
from dts_core.signing.envelope import envelope
from dts_core.signing.keys import PublicKey
from dts_core.signing.statement import statement
from dts_core.text import clean

__all__ = ["Trust", "Unsigned"]


class Unsigned(FunctionRefused):
    """A version that nobody who is trusted has signed for the function it is to be run as."""

    code = "unsigned"


class Trust:
    """Some public keys. Any of them may have signed, so that keys can rotate.

    Args:
        keys: Without any, nothing counts.
    """

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._keys = {key.id: key for key in keys}

    @property
    def keys(self) -> dict[str, PublicKey]:
        """The keys by their ids."""
        return dict(self._keys)

    @property
    def ids(self) -> list[str]:
        """The keys' ids, sorted."""
        return sorted(self._keys)

    def check(self, function: str, digest: str, signature: Signature | None) -> None:
        """Let pass a version that a trusted key signed as one of this function.

        Args:
            function: namespace/name, as the job names it.
            digest: sha256 of the source that is to be run, in hex.
            signature: What came with it.

        Raises:
            Unsigned: It has none, one by a key that is not trusted, or one for something else.
            InvalidInput: `function` is not namespace/name.
        """
        what = f"version {clean(digest, 12)} of {clean(function, 240)}"
        if signature is None:
            raise Unsigned(
                f"{what} is not signed.",
                advice="A server with [signing] key_file signs what is stored when it starts.",
            )
        key = self._keys.get(signature.key)
        if key is None:
            raise Unsigned(
                f"{what} is signed by key {clean(signature.key, 40)!r}, which is not trusted here.",
                advice="Add it to [signing] public_keys of the worker, or let the server sign again: "
                "`dts admin signing resign`.",
            )
        if not key.is_by(signature.value, statement(function, digest, key.id)):
            raise Unsigned(
                f"{what} has a signature that is not for it.",
                advice="Somebody has changed it on its way or in the store: find out who.",
            )

    def check_job(self, job: JobMessage, queue: str) -> None:
        """Let pass a job whose envelope a trusted key signed for this queue.

        Raises:
            Unsigned: It has no signature, one by a key that is not trusted, or one for something else.
        """
        what, signature = f"job {clean(job.id, 64)}", job.envelope
        if signature is None:
            raise Unsigned(
                f"{what} is not signed.",
                advice="A server with [signing] jobs = true signs what it accepts; `dts again` submits it anew.",
            )
        key = self._keys.get(signature.key)
        if key is None:
            raise Unsigned(
                f"{what} is signed by key {clean(signature.key, 40)!r}, which is not trusted here.",
                advice="Add it to [signing] public_keys of the worker.",
            )
        if not key.is_by(signature.value, envelope(job, queue, key.id)):
            raise Unsigned(
                f"{what} has a signature that is not for it.",
                advice="Somebody has changed it, or moved it to another queue: find out who may publish jobs.",
            )
