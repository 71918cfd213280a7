"""Arguments: 1,048,576 bytes of JSON are taken, whatever they are, and not one more."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from dts_core import codec
from dts_core.model import ARGS_MAX, JobMessage
from dts_core.names import new_id
from dts_core.services.messages import job_message
from tests.support.jobs import make_job
from tests.support.server import Server, serve

FRAME = len(b'[""]') + len(b'{"k":""}')
MIXES = [(1, 0, 0, 0), (0, 0, 1, 0), (4, 3, 1, 0), (8, 3, 2, 0), (6, 5, 1, 1)]
"""Shares of characters of 1 to 4 bytes. Those in the middle leave least to deflate."""
RANGES = [(0x20, 0x7F), (0x80, 0x800), (0xE000, 0x10000), (0x10000, 0x110000)]


def noise(size: int, mix: tuple[int, ...]) -> bytes:
    """Text of exactly `size` bytes that stands in JSON as it is."""
    chance = random.Random(size)
    kinds = chance.choices(RANGES, mix, k=size)
    text = "".join(chr(chance.randrange(*kind)) for kind in kinds)
    cut = text.replace('"', "'").replace("\\", "/").encode()[:size].decode(errors="ignore").encode()
    return cut + b"x" * (size - len(cut))


def arguments(size: int, mix: tuple[int, ...] = MIXES[3]) -> tuple[bytes, bytes]:
    """args and kwargs of `size` bytes together."""
    text = noise(size - FRAME, mix)
    half = len(text[: len(text) // 2].decode(errors="ignore").encode())
    return b'["' + text[:half] + b'"]', b'{"k":"' + text[half:] + b'"}'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as made:
        await made.namespace()
        await made.function("sample/any", "def main(value, k=''):\n    return value\n")
        yield made


def body_of(args: bytes, kwargs: bytes, more: bytes = b"") -> bytes:
    return b'{"function":"sample/any","args":' + args + b',"kwargs":' + kwargs + more + b"}"


@pytest.mark.parametrize("mix", MIXES)
def test_the_largest_arguments_fit_a_message_whatever_they_are(mix: tuple[int, ...]) -> None:
    """Noise of every kind of characters, with the longest names around it: the message stays below 1 MiB."""
    args, kwargs = arguments(ARGS_MAX, mix)
    assert len(args) + len(kwargs) == ARGS_MAX == codec.WIRE_MAX
    msgspec.json.decode(args)
    msgspec.json.decode(kwargs)
    job = make_job(
        id=new_id(),
        function="n" * 100 + "/" + "f" * 100,
        submitter="s" * 100,
        args=args,
        kwargs=kwargs,
    )
    message = job_message(job, at=datetime.now(UTC)).message
    assert len(message.body) <= codec.WIRE_MAX
    assert codec.decode(message.body, JobMessage).args == args


async def test_the_bound_of_arguments_is_exact(server: Server) -> None:
    """1 MiB is accepted, now or for later, and comes back as it was; one byte more is a 413 that names both sizes."""
    args, kwargs = arguments(ARGS_MAX)
    for more in (b"", b',"delay_seconds":60'):
        answer = await server.call("POST", "/jobs", "ann", content=body_of(args, kwargs, more))
        assert answer.status_code == 201, answer.text[:300]
        kept = await server.store.get_job(answer.json()["id"])
        assert kept is not None
        assert (kept.args, kept.kwargs) == (args, kwargs)
    args, kwargs = arguments(ARGS_MAX + 1)
    single = body_of(args, kwargs)
    for body in (single, b'{"jobs":[' + single + b"]}"):
        answer = await server.call("POST", "/jobs", "ann", content=body)
        assert answer.status_code == 413, answer.text[:300]
        assert str(ARGS_MAX + 1) in answer.json()["detail"]
        assert str(ARGS_MAX) in answer.json()["detail"]
