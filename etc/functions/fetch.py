"""Fetches a URL and checks the answer."""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from dts_core import job

_MOST_BYTES = 10 << 20
_CHUNK_BYTES = 1 << 16


class CheckFailed(Exception):
    """The server answered, but not as it was asked to."""


def main(
    url: str, expect_status: int = 200, contains: str = "", timeout_seconds: float = 10
) -> dict[str, object]:
    """Fetch a URL and fail unless it answers as expected.

    Follows redirects, within http and https only. Reads at most 10 MiB.

    Args:
        url: An http:// or https:// address.
        expect_status: The status that the last answer must have.
        contains: Text that must be in the body; empty asks for nothing.
        timeout_seconds: Longest time for everything together, above 0 and up to 300.

    Returns:
        `url` (the last one), `status`, `content_type`, `bytes`, `sha256` of what was read,
        `truncated` and `seconds`.

    Raises:
        CheckFailed: Another status, or a body without the text.
        TimeoutError: No complete answer in time.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"{url!r} is not an http:// or https:// address")
    if not 0 < timeout_seconds <= 300:
        raise ValueError(f"timeout_seconds is {timeout_seconds}; it must be above 0, up to 300")
    start = time.monotonic()
    with _open(url, timeout_seconds) as answer:
        body, truncated = _read(answer, start + timeout_seconds)
        status, last, kind = answer.status, answer.url, answer.headers.get_content_type()
    seconds = time.monotonic() - start
    job.logger.info("%s: status %d, %d bytes, %.3f s", last, status, len(body), seconds)
    if status != expect_status:
        raise CheckFailed(f"{last} answered with status {status}, expected {expect_status}")
    if contains and contains.encode() not in body:
        raise CheckFailed(f"{last} answered without the text {contains!r}")
    return {
        "url": last,
        "status": status,
        "content_type": kind,
        "bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "truncated": truncated,
        "seconds": round(seconds, 4),
    }


def _open(url: str, timeout_seconds: float) -> http.client.HTTPResponse:
    # Only these: a redirect to file: or ftp: has nobody to open it.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    request = urllib.request.Request(url, headers={"User-Agent": "dts-fetch/1"})
    try:
        answer: http.client.HTTPResponse = opener.open(request, timeout=timeout_seconds)
    except urllib.error.HTTPError as error:
        return error  # type: ignore[return-value]  # an answer all the same, of the same shape
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise TimeoutError(f"{url} did not answer within {timeout_seconds:g} s") from error
        raise ConnectionError(f"{url}: {error.reason}") from error
    return answer


def _read(answer: http.client.HTTPResponse, deadline: float) -> tuple[bytes, bool]:
    """Return the body up to the limit, and whether there was more."""
    body = bytearray()
    while chunk := answer.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > _MOST_BYTES:
            return bytes(body[:_MOST_BYTES]), True
        if time.monotonic() > deadline:
            raise TimeoutError(f"the body was not complete in time; {len(body)} bytes came")
        if answer.length is not None:
            job.progress(len(body) / max(len(body) + answer.length, 1), f"{len(body):,} bytes")
    return bytes(body), False
