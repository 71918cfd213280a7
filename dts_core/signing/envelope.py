"""What the signature of a job's envelope is over: all that decides what runs, with what, where and for whom."""

import hashlib
import struct
from typing import Final

from dts_core.model import Job, JobMessage

__all__ = ["envelope"]

CONTEXT: Final = b"dts job envelope, signature 1\0"
"""No other statement that a key of ours may ever sign begins so."""
_LENGTH: Final = struct.Struct(">I")
_NUMBERS: Final = struct.Struct(">?ddq")


def envelope(job: Job | JobMessage, queue: str, key: str) -> bytes:
    """That the server accepted a job as it stands, said by a key.

    The context, and a SHA-256 over every part behind its length (4 bytes, big-endian). What differs from one sending of
    the same job to the next is no part of it: the attempt, and how large a result may be.

    Args:
        job: As it is stored, or as its message came.
        queue: That it was accepted for, without prefix.
        key: Id of the key that signs.
    """
    numbers = _NUMBERS.pack(job.is_async, job.timeout_seconds, job.grace_seconds, job.retries)
    parts = [
        each.encode() for each in (key, job.id, job.function, job.version, queue, job.submitter)
    ]
    parts += [numbers, job.args, job.kwargs]
    if job.sealed is not None:
        parts += [b"sealed", job.sealed.key.encode(), job.sealed.box]
        for place, parameter in sorted(job.sealed.places.items()):
            parts += [place.encode(), parameter.encode()]
    if job.trial is not None:
        hosts = [each.encode() for each in job.trial.hosts]
        parts += [b"trial", job.trial.version.encode(), bytes((job.trial.is_async,)), *hosts]
    found = hashlib.sha256()
    for part in parts:
        found.update(_LENGTH.pack(len(part)))
        found.update(part)
    return CONTEXT + found.digest()
