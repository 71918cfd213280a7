"""What a worker does with secret arguments: opens them for the run, and keeps them out of all that the run says."""

import json
from typing import Any, Final, NamedTuple

import msgspec

from dts_core.errors import VaultError
from dts_core.model import JobError, JobMessage
from dts_core.sealed.boxes import HIDDEN, Call, Opener

__all__ = ["Opened", "Secrets", "refusal"]

SHORTEST: Final = 4
"""A shorter secret is not looked for in texts: its characters stand everywhere."""
TEXTS_MAX: Final = 1_000
"""Most texts of one job that are looked for."""


class Opened(NamedTuple):
    """Arguments for the child, in clear, as JSON."""

    args: bytes
    kwargs: bytes


class Secrets:
    """The opened secrets of the jobs that run. Belongs to the loop's thread.

    Args:
        opener: Has the keys.
    """

    def __init__(self, opener: Opener | None = None) -> None:
        self.opener = opener or Opener()
        """May be set until the first job is opened."""
        self._texts: dict[str, list[str]] = {}

    def open(self, job: JobMessage) -> Opened:
        """The arguments of a job that is about to run; `forget` it when it is over.

        Raises:
            VaultError: They do not open: KeyMissing where another worker may have the key, else SealBroken.
        """
        if job.sealed is None:
            return Opened(job.args, job.kwargs)
        call, found = self.opener.open(Call(job.function, job.args, job.kwargs), job.sealed)
        texts = {text for each in found for text in _texts(msgspec.json.decode(each))}
        self._texts[job.id] = sorted(texts, key=len, reverse=True)[:TEXTS_MAX]
        return Opened(call.args, call.kwargs)

    def veil(self, job_id: str, text: str) -> str:
        """A text that a job has said, without its secrets."""
        for secret in self._texts.get(job_id, ()):
            text = text.replace(secret, HIDDEN)
        return text

    def veil_all(self, text: str) -> str:
        """A text that may be of any of them."""
        for job_id in self._texts:
            text = self.veil(job_id, text)
        return text

    def veil_error(self, job_id: str, error: JobError | None) -> JobError | None:
        """Why a job failed, without its secrets."""
        if error is None or job_id not in self._texts:
            return error
        return JobError(
            type=self.veil(job_id, error.type),
            message=self.veil(job_id, error.message),
            traceback=self.veil(job_id, error.traceback),
        )

    def forget(self, job_id: str) -> None:
        """The job is over, and has said all that it will say."""
        self._texts.pop(job_id, None)


def refusal(error: VaultError) -> JobError:
    """Why a job fails whose arguments do not open."""
    return JobError(type="SecretsNotOpened", message=f"{error.message} {error.advice}".rstrip())


def _texts(value: Any) -> list[str]:
    """Every text in a secret in the forms that logs and tracebacks show it in, line by line too."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    if isinstance(value, bool) or value is None:
        return []
    text = value if isinstance(value, str) else json.dumps(value)
    lines = [text, *text.splitlines()] if isinstance(value, str) else [text]
    forms = [form for line in lines for form in (line, repr(line)[1:-1], json.dumps(line)[1:-1])]
    return [form for form in forms if len(form) >= SHORTEST]
