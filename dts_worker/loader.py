"""Sources of functions by content hash: from memory, from the disk cache, else from the control side in chunks.

Wherever a source comes from, its hash is computed here, and a key that this worker trusts must have signed that it
belongs to the function that is asked for.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import tempfile
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from dts_core import codec
from dts_core.brokers.base import REQUESTS, Broker, Message
from dts_core.errors import BrokerUnavailable, CodecError, FunctionRefused
from dts_core.model import Signature, SourceReply, SourceRequest
from dts_core.signing import Trust

SOURCE_MAX = 4 << 20
"""Largest source, in bytes."""
MEMORY_MAX = 32 << 20
"""Bytes of sources kept in memory."""
SIGNATURE_MAX = 4_096
"""Most bytes read of a signature's file."""
FILES_MAX = 2_000
"""Most files of a kind in the disk cache; the oldest go at the start of the worker."""
REQUEST_SECONDS = 5.0
PATIENCE_SECONDS = 30.0
"""How long the control side is asked again while it does not answer."""
PAUSE_SECONDS = 0.5
CONTROL_SIDE = "dts/"
"""Functions of this namespace lie in files of the control side and run there; one that comes by a broker is forged."""
_SIGNATURE = msgspec.msgpack.Decoder(Signature)
_HASH = re.compile(r"[0-9a-f]{64}")


def is_hash(text: str) -> bool:
    """Whether `text` is a sha256 in lower-case hex."""
    return _HASH.fullmatch(text) is not None


class _Kept(msgspec.Struct):
    """A source in memory, and the functions that it was proved to belong to."""

    source: bytes
    functions: set[str]


class Loader:
    """Gives sources. Belongs to the loop's thread; files are read and written in threads.

    Concurrent requests for one version of a function are one request.

    Args:
        broker: Asked on the queue `requests`.
        folder: The disk cache; made when it is missing.
        trust: Whose signatures count; None: nothing is asked of a source but its hash. May be set until the first
            source is asked for.
    """

    def __init__(self, broker: Broker, folder: Path, trust: Trust | None = None) -> None:
        self.trust = trust
        self.renew: Callable[[], Awaitable[None]] | None = None
        """Looks for new keys; asked when one has signed that is not known."""
        self._generation = 0
        """Counts changes of the trust: what was proved before one is proved anew."""
        self._broker = broker
        self._folder = folder
        self._memory: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0
        self._fetching: dict[tuple[str, str, int], asyncio.Task[bytes]] = {}

    async def open(self) -> None:
        """Make the folder and prune it."""
        await asyncio.to_thread(_prepare, self._folder)

    def peek(self, function: str, content_hash: str) -> bytes | None:
        """The source when it is in memory, and proved for this function."""
        kept = self._memory.get(content_hash)
        if kept is None or function.startswith(CONTROL_SIDE):
            return None
        if self.trust is not None and function not in kept.functions:
            return None
        self._memory.move_to_end(content_hash)
        return kept.source

    async def source(self, function: str, content_hash: str) -> bytes:
        """The source of a version, to be run as this function.

        Args:
            function: namespace/name.
            content_hash: sha256 in hex.

        Raises:
            FunctionRefused: The control side has no such version, or sent something else.
            Unsigned: Nobody who is trusted signed it as one of this function; a FunctionRefused too.
            BrokerUnavailable: It did not answer for PATIENCE_SECONDS.
        """
        if function.startswith(CONTROL_SIDE):
            raise FunctionRefused(f"{function} runs on the control side, never on a worker.")
        while True:
            found = self.peek(function, content_hash)
            if found is not None:
                return found
            wanted = (function, content_hash, self._generation)
            source = await asyncio.shield(self._fetching.get(wanted) or self._begin(wanted))
            if wanted[2] == self._generation:
                return source

    def retrust(self, trust: Trust) -> None:
        """Whose signatures count from now on, for what is here already too."""
        self.trust = trust
        self._generation += 1
        for kept in self._memory.values():
            kept.functions.clear()

    def _begin(self, wanted: tuple[str, str, int]) -> "asyncio.Task[bytes]":
        function, content_hash, _ = wanted
        task = asyncio.get_running_loop().create_task(
            self._load(function, content_hash), name=f"source-{content_hash[:8]}"
        )
        self._fetching[wanted] = task
        task.add_done_callback(lambda done: self._fetched(wanted, done))
        return task

    async def close(self) -> None:
        """End what is being fetched."""
        for task in self._fetching.values():
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)

    def _fetched(self, wanted: tuple[str, str, int], task: "asyncio.Task[bytes]") -> None:
        self._fetching.pop(wanted, None)
        function, content_hash, generation = wanted
        if not task.cancelled() and task.exception() is None and generation == self._generation:
            self._keep(function, content_hash, task.result())

    def _keep(self, function: str, content_hash: str, source: bytes) -> None:
        kept = self._memory.get(content_hash)
        if kept is None:
            kept = self._memory[content_hash] = _Kept(source, set())
            self._size += len(source)
        if self.trust is not None:
            kept.functions.add(function)
        while self._size > MEMORY_MAX:
            _, oldest = self._memory.popitem(last=False)
            self._size -= len(oldest.source)

    async def _load(self, function: str, content_hash: str) -> bytes:
        cached = await asyncio.to_thread(self._cached, function, content_hash)
        if cached is not None:
            return cached
        source, signature = await self._fetch(function, content_hash)
        if self.trust is not None:
            if self.renew is not None and signature and signature.key not in self.trust.ids:
                await self.renew()
            self.trust.check(function, content_hash, signature)
        await asyncio.to_thread(self._write, function, content_hash, source, signature)
        return source

    def _cached(self, function: str, content_hash: str) -> bytes | None:
        """From disk what would be taken from the control side too; what would not is asked for anew."""
        source = _read_source(self._path(content_hash), content_hash)
        if source is None or self.trust is None:
            return source
        path = self._proof(function, content_hash)
        try:
            signature = _SIGNATURE.decode(_read(path, SIGNATURE_MAX))
            self.trust.check(function, content_hash, signature)
        except (OSError, msgspec.MsgspecError, FunctionRefused):
            path.unlink(missing_ok=True)
            return None
        return source

    def _write(
        self, function: str, content_hash: str, source: bytes, signature: Signature | None
    ) -> None:
        _write(self._path(content_hash), source)
        if signature is not None:
            _write(self._proof(function, content_hash), msgspec.msgpack.encode(signature))

    def _path(self, content_hash: str) -> Path:
        return self._folder / f"{content_hash}.py"

    def _proof(self, function: str, content_hash: str) -> Path:
        """Where the signature of a version lies; a source may be that of several functions."""
        name = hashlib.sha256(function.encode()).hexdigest()[:32]
        return self._folder / f"{content_hash}.{name}.sig"

    async def _fetch(self, function: str, content_hash: str) -> tuple[bytes, Signature | None]:
        """Ask until there is an answer, or patience ends."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            try:
                source, signature = await self._ask(function, content_hash)
                break
            except BrokerUnavailable:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)
        if hashlib.sha256(source).hexdigest() != content_hash:
            raise FunctionRefused(f"the source that came is not version {content_hash[:12]}.")
        return source, signature

    async def _ask(self, function: str, content_hash: str) -> tuple[bytes, Signature | None]:
        chunks: list[bytes] = []
        signature: Signature | None = None
        offset = 0
        while True:
            asked = SourceRequest(content_hash, offset, function)
            request = Message(body=codec.encode(asked), type="SourceRequest")
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
            signature = signature or reply.signature
            chunks.append(reply.data)
            offset += len(reply.data)
            if offset >= reply.total:
                return b"".join(chunks), signature


def _prepare(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for pattern in ("*.py", "*.sig"):
        files = sorted(folder.glob(pattern), key=lambda file: file.stat().st_mtime)
        for file in files[: max(len(files) - FILES_MAX, 0)]:
            file.unlink(missing_ok=True)


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(most)


def _read_source(path: Path, content_hash: str) -> bytes | None:
    """The cached source; a file that is not what its name says is removed."""
    try:
        source = _read(path, SOURCE_MAX + 1)
    except OSError:
        return None
    if hashlib.sha256(source).hexdigest() == content_hash:
        return source
    path.unlink(missing_ok=True)
    return None


def _write(path: Path, content: bytes) -> None:
    """Into the cache, all or nothing; a full disk only costs the cache."""
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
