"""A disk in memory that loses power: what was written but not synced is dropped, torn or kept as chance has it."""

import random
import threading
from pathlib import Path
from typing import Any

import apsw

SECTOR = 512


class Image:
    """One file: what the program sees, and what a power cut cannot take any more."""

    def __init__(self, content: bytes = b"", *, is_safe: bool = False) -> None:
        self.seen = bytearray(content)
        self.synced = bytes(content)
        self.exists_safely = is_safe
        self.pending: list[tuple[int, bytes]] = []
        """Writes since the last sync; a truncation is (size, b"")."""

    def write(self, data: bytes, offset: int) -> None:
        _put(self.seen, data, offset)
        self.pending.append((offset, data))

    def truncate(self, size: int) -> None:
        del self.seen[size:]
        self.pending.append((size, b""))

    def sync(self) -> None:
        self.synced = bytes(self.seen)
        self.pending.clear()
        self.exists_safely = True

    def after_cut(self, chance: random.Random) -> bytes | None:
        """What is found when the power is back; None: not even the file."""
        if not self.exists_safely and chance.random() < 0.5:
            return None
        content = bytearray(self.synced)
        survivors = [
            write for write in self.pending if chance.random() < chance.choice([0, 0.5, 1])
        ]
        chance.shuffle(survivors)
        for offset, data in survivors:
            if not data:
                del content[offset:]
                continue
            if chance.random() < 0.3:
                data = data[: chance.randrange(0, len(data) + SECTOR, SECTOR)]
            _put(content, data, offset)
        return bytes(content)


def _put(content: bytearray, data: bytes, offset: int) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class PowerLossVFS(apsw.VFS):
    """The file system of that disk, under a name of its own. Unregister it when done."""

    def __init__(self, name: str) -> None:
        self.images: dict[str, Image] = {}
        self.trace: list[tuple[str, str]] = []
        """("write" | "sync", end of the file's name), in order; others may add to it."""
        self.lock = threading.Lock()
        self.label = name
        super().__init__(name=name, base="")

    def load(self, path: Path) -> None:
        """Put a real file onto the disk, synced."""
        self.images[str(path)] = Image(path.read_bytes(), is_safe=True)

    def cut(self, folder: Path, seed: int) -> None:
        """Cut the power now: write what is left to real files of the same names in a folder."""
        chance = random.Random(seed)
        with self.lock:
            left = {name: image.after_cut(chance) for name, image in sorted(self.images.items())}
        for name, content in left.items():
            if content is not None:
                (folder / Path(name).name).write_bytes(content)

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        path = "" if name is None else name.filename() if hasattr(name, "filename") else str(name)
        flags[1] = flags[0]
        with self.lock:
            image = self.images.setdefault(path, Image()) if path else Image()
        return PowerLossFile(self, path, image)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        with self.lock:
            if self.images.pop(filename, None) is None:
                raise apsw.IOError

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return pathname in self.images

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name


class PowerLossFile:
    """One open file of that disk."""

    def __init__(self, vfs: PowerLossVFS, path: str, image: Image) -> None:
        self._vfs = vfs
        self._name = path.rpartition("/")[2]
        self._image = image

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self._image.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        with self._vfs.lock:
            self._image.write(bytes(data), offset)
            self._vfs.trace.append(("write", self._name))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        with self._vfs.lock:
            self._image.truncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        with self._vfs.lock:
            self._image.sync()
            self._vfs.trace.append(("sync", self._name))

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._image.seen)

    def xClose(self) -> None:  # noqa: N802
        return

    def xLock(self, level: int) -> None:  # noqa: N802
        return

    def xUnlock(self, level: int) -> None:  # noqa: N802
        return

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return SECTOR

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return int(apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE)
