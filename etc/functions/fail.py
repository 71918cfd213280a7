"""Fails on purpose."""

from dts_core import job


def main(message: str = "failed on purpose", times: int = 1) -> str:
    """Fail the first attempts of this job, then succeed: shows errors and retries.

    Args:
        message: Text of the error.
        times: How many attempts fail; 0 fails none.

    Raises:
        RuntimeError: On every attempt up to `times`.
    """
    job.logger.info("attempt %d of this job; the first %d fail", job.attempt, times)
    if job.attempt <= times:
        raise RuntimeError(message)
    return f"succeeded on attempt {job.attempt}"
