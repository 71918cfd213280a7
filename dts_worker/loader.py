"""Sources of functions by content hash: from memory, from the disk cache, else from the control side in chunks."""

import asyncio
import contextlib
import hashlib
import os
import re
import tempfile
from collections import OrderedDict
from pathlib import Path

from dts_core import codec
from dts_core.brokers.base import REQUESTS, Broker, Message
from dts_core.errors import BrokerUnavailable, CodecError, FunctionRefused
from dts_core.model import SourceReply, SourceRequest

SOURCE_MAX = 4 << 20
"""Largest source, in bytes."""
MEMORY_MAX = 32 << 20
"""Bytes of sources kept in memory."""
FILES_MAX = 2_000
"""Most files in the disk cache; the oldest go at the start of the worker."""
REQUEST_SECONDS = 5.0
PATIENCE_SECONDS = 30.0
"""How long the control side is asked again while it does not answer."""
PAUSE_SECONDS = 0.5
_HASH = re.compile(r"[0-9a-f]{64}")


def is_hash(text: str) -> bool:
    """Whether `text` is a sha256 in lower-case hex."""
    return _HASH.fullmatch(text) is not None


class Loader:
    """Gives sources. Belongs to the loop's thread; files are read and written in threads.

    Whatever the source comes from, its hash is checked. Concurrent requests for one hash are one request.

    Args:
        broker: Asked on the queue `requests`.
        folder: The disk cache; made when it is missing.
    """

    def __init__(self, broker: Broker, folder: Path) -> None:
        self._broker = broker
        self._folder = folder
        self._memory: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._fetching: dict[str, asyncio.Task[bytes]] = {}

    async def open(self) -> None:
        """Make the folder and prune it."""
        await asyncio.to_thread(_prepare, self._folder)

    def peek(self, content_hash: str) -> bytes | None:
        """The source when it is in memory."""
        source = self._memory.get(content_hash)
        if source is not None:
            self._memory.move_to_end(content_hash)
        return source

    async def source(self, content_hash: str) -> bytes:
        """The source of a version.

        Raises:
            FunctionRefused: The control side has no such version, or sent something else.
            BrokerUnavailable: It did not answer for PATIENCE_SECONDS.
        """
        found = self.peek(content_hash)
        if found is not None:
            return found
        task = self._fetching.get(content_hash)
        if task is None:
            task = asyncio.get_running_loop().create_task(
                self._load(content_hash), name=f"source-{content_hash[:8]}"
            )
            self._fetching[content_hash] = task
            task.add_done_callback(lambda done: self._fetched(content_hash, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """End what is being fetched."""
        for task in self._fetching.values():
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)

    def _fetched(self, content_hash: str, task: "asyncio.Task[bytes]") -> None:
        self._fetching.pop(content_hash, None)
        if not task.cancelled() and task.exception() is None:
            self._keep(content_hash, task.result())

    def _keep(self, content_hash: str, source: bytes) -> None:
        if content_hash in self._memory:
            return
        self._memory[content_hash] = source
        self._size += len(source)
        while self._size > MEMORY_MAX:
            _, oldest = self._memory.popitem(last=False)
            self._size -= len(oldest)

    async def _load(self, content_hash: str) -> bytes:
        path = self._folder / f"{content_hash}.py"
        cached = await asyncio.to_thread(_read, path, content_hash)
        if cached is not None:
            return cached
        source = await self._fetch(content_hash)
        await asyncio.to_thread(_write, path, source)
        return source

    async def _fetch(self, content_hash: str) -> bytes:
        """Ask until there is an answer, or patience ends."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            try:
                source = await self._ask(content_hash)
                break
            except BrokerUnavailable:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)
        if hashlib.sha256(source).hexdigest() != content_hash:
            raise FunctionRefused(f"the source that came is not version {content_hash[:12]}.")
        return source

    async def _ask(self, content_hash: str) -> bytes:
        chunks: list[bytes] = []
        offset = 0
        while True:
            request = Message(
                body=codec.encode(SourceRequest(content_hash, offset)), type="SourceRequest"
            )
            answer = await self._broker.request(REQUESTS, request, timeout_seconds=REQUEST_SECONDS)
            try:
                reply = codec.decode(answer.body, SourceReply)
            except CodecError as error:
                raise FunctionRefused(
                    f"version {content_hash[:12]} cannot be read: {error}"
                ) from error
            if reply.total == 0:
                raise FunctionRefused(f"the control side has no version {content_hash[:12]}.")
            if reply.total > SOURCE_MAX or reply.offset != offset or not reply.data:
                raise FunctionRefused(f"version {content_hash[:12]} did not come whole.")
            chunks.append(reply.data)
            offset += len(reply.data)
            if offset >= reply.total:
                return b"".join(chunks)


def _prepare(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = sorted(folder.glob("*.py"), key=lambda file: file.stat().st_mtime)
    for file in files[: max(len(files) - FILES_MAX, 0)]:
        file.unlink(missing_ok=True)


def _read(path: Path, content_hash: str) -> bytes | None:
    """The cached source; a file that is not what its name says is removed."""
    try:
        with path.open("rb") as stream:
            source = stream.read(SOURCE_MAX + 1)
    except OSError:
        return None
    if hashlib.sha256(source).hexdigest() == content_hash:
        return source
    path.unlink(missing_ok=True)
    return None


def _write(path: Path, source: bytes) -> None:
    """Into the cache, all or nothing; a full disk only costs the cache."""
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(source)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
