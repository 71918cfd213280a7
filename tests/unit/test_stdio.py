"""Standard input and output as a link's stream: over pipes and over one socket, with nothing else on it."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dts_core.brokers.stdio import streams_of
from dts_core.config import load_settings
from dts_core.errors import ConfigError
from dts_core.places import check_worker_url
from dts_core.settings import TlsSettings, WorkerFile

ROOT = Path(__file__).resolve().parents[2]
NOISY = """
import asyncio, os, subprocess, sys
from dts_core.brokers.stdio import Stdio

async def main():
    stdio = Stdio()
    over = []
    stdio.on_over = lambda: over.append(True)
    print("printed")
    os.write(1, b"written")
    subprocess.run(["sh", "-c", "echo from a shell; cat"], check=True)
    assert sys.stdin.read() == ""
    reader, writer = await stdio.open()
    writer.write(await reader.read(100))
    assert await reader.read() == b""
    writer.close()
    try:
        await stdio.open()
    except Exception as error:
        assert over == [True]
        print(error)

asyncio.run(main())
"""


def pair(kind: str) -> tuple[int, int, int, int]:
    """(our reading end, our writing end, theirs) of one kind."""
    if kind == "pipes":
        their_in, our_out = os.pipe()
        our_in, their_out = os.pipe()
        return our_in, our_out, their_in, their_out
    ours, theirs = socket.socketpair()
    with ours, theirs:
        mine, other = ours.detach(), theirs.detach()
    return mine, os.dup(mine), other, os.dup(other)


@pytest.mark.parametrize("kind", ["pipes", "a socket"])
async def test_bytes_go_both_ways_to_the_end(kind: str) -> None:
    """What comes in does not end what goes out; many bytes at once arrive whole, and the end is told."""
    our_in, our_out, their_in, their_out = pair(kind)
    ours, theirs = await streams_of(our_in, our_out), await streams_of(their_in, their_out)
    data = os.urandom(1 << 20)

    async def send(writer: object) -> None:
        for at in range(0, len(data), 1 << 16):
            writer.write(data[at : at + (1 << 16)])  # type: ignore[attr-defined]
            await writer.drain()  # type: ignore[attr-defined]
        writer.close()  # type: ignore[attr-defined]

    async def receive(reader: object) -> bytes:
        whole = b""
        while piece := await reader.read(1 << 16):  # type: ignore[attr-defined]
            whole += piece
        return whole

    async with asyncio.timeout(60):
        sending = asyncio.ensure_future(send(ours[1]))
        assert await receive(theirs[0]) == data
        await sending
    theirs[1].close()


def test_frames_alone_pass() -> None:
    """What the process and its children print goes to standard error; for them standard input is empty."""
    done = subprocess.run(
        [sys.executable, "-c", NOISY], input=b"a frame", capture_output=True, timeout=60,
        cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"a frame"
    for said in (b"printed", b"written", b"from a shell", b"standard input has ended"):
        assert said in done.stderr


def test_its_url_is_one_of_a_worker(tmp_path: Path) -> None:
    """Just `link+stdio:`; without public keys a worker does not start, since no server's lie beside a stream."""
    check_worker_url("link+stdio:", TlsSettings())
    for wrong in ("link+stdio:///x", "link+stdio:x"):
        with pytest.raises(ConfigError, match="nothing behind it"):
            check_worker_url(wrong, TlsSettings())
    file = tmp_path / "worker.toml"
    file.write_text('[broker]\nurl = "link+stdio:"\n')
    loaded = load_settings(WorkerFile, part="worker", config_file=file, environ={})
    assert loaded.settings.broker.url == "link+stdio:"
    done = subprocess.run(
        [sys.executable, "-m", "dts_worker.cli", "-c", str(file)], input=b"", cwd=ROOT,
        capture_output=True, timeout=60, check=False, env={"PATH": os.defpath, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"public key" in done.stderr
