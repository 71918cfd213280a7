"""Reports what fills a disk."""

import heapq
import os
import shutil
from pathlib import Path

from dts_core import job

_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own block size


def main(path: str, depth: int = 1, top: int = 10) -> dict[str, object]:
    """Report how much disk a folder takes, by subfolder and by largest file, as `du -x` does.

    Counts allocated blocks, a file with several names once, and stays on the folder's own file
    system. Symbolic links are not followed.

    Args:
        path: The folder, on the host that runs the job; `~` is the home folder.
        depth: Levels of subfolders to list, 0 to 10.
        top: How many folders and files to list, 1 to 100.

    Returns:
        `bytes` and `files` in total, `folders` and `largest` (each as path and bytes, largest
        first), `filesystem` with total, used and free bytes, `unreadable` files and folders
        counted, and `complete`, which is false when the job was cancelled on the way.
    """
    if not 0 <= depth <= 10:
        raise ValueError(f"depth is {depth}; it must be 0 to 10")
    if not 1 <= top <= 100:
        raise ValueError(f"top is {top}; it must be 1 to 100")
    root = Path(path).expanduser()
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is not a folder")
    survey = _Survey(str(root), depth, top)
    survey.walk()
    disk = shutil.disk_usage(root)
    job.logger.info("%s: %d bytes in %d files", root, survey.bytes, survey.files)
    folders = heapq.nlargest(top, survey.folders.items(), key=lambda item: item[1])
    return {
        "path": str(root),
        "bytes": survey.bytes,
        "files": survey.files,
        "folders": [{"path": _shown(name), "bytes": size} for name, size in folders],
        "largest": [
            {"path": _shown(name), "bytes": size}
            for size, name in sorted(survey.largest, reverse=True)
        ],
        "filesystem": {"total": disk.total, "used": disk.used, "free": disk.free},
        "unreadable": survey.unreadable,
        "complete": not job.cancelled,
    }


class _Survey:
    """One walk over a tree, on an explicit stack so that depth is no limit."""

    def __init__(self, root: str, depth: int, top: int) -> None:
        self.root, self.depth, self.top = root, depth, top
        self.bytes = self.files = self.unreadable = 0
        self.folders: dict[str, int] = {}
        self.largest: list[tuple[int, str]] = []
        self._seen: set[tuple[int, int]] = set()  # files with several names
        self._device = Path(root).stat().st_dev

    def walk(self) -> None:
        # Each entry: a folder, how deep it lies, and the listed folders that it counts towards.
        stack: list[tuple[str, int, tuple[str, ...]]] = [(self.root, 0, ())]
        while stack and not job.cancelled:
            folder, level, above = stack.pop()
            if 0 < level <= self.depth:
                above = (*above, os.path.relpath(folder, self.root))
                self.folders.setdefault(above[-1], 0)
            try:
                with os.scandir(folder) as entries:
                    self._add(_allocated(Path(folder).stat()), above)
                    below = [child for entry in entries if (child := self._visit(entry, above))]
            except OSError as error:
                self.unreadable += 1
                job.logger.warning("%s: %s", _shown(folder), error.strerror)
                continue
            stack.extend((child, level + 1, above) for child in below)
            if level == 1:
                job.progress(1 - 1 / (1 + self.files / 10_000), f"{self.files:,} files")

    def _visit(self, entry: os.DirEntry[str], above: tuple[str, ...]) -> str | None:
        """Count a file; return the path when it is a folder to be walked."""
        try:
            stat = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # removed while we looked
            return None
        except OSError as error:
            self.unreadable += 1
            job.logger.warning("%s: %s", _shown(entry.path), error.strerror)
            return None
        if entry.is_dir(follow_symlinks=False):
            return entry.path if stat.st_dev == self._device else None
        if stat.st_nlink > 1:
            if (stat.st_dev, stat.st_ino) in self._seen:
                return None
            self._seen.add((stat.st_dev, stat.st_ino))
        size = _allocated(stat)
        self.files += 1
        self._add(size, above)
        item = (size, os.path.relpath(entry.path, self.root))
        if len(self.largest) < self.top:
            heapq.heappush(self.largest, item)
        else:
            heapq.heappushpop(self.largest, item)
        return None

    def _add(self, size: int, above: tuple[str, ...]) -> None:
        self.bytes += size
        for folder in above:
            self.folders[folder] += size


def _allocated(stat: os.stat_result) -> int:
    blocks: int | None = getattr(stat, "st_blocks", None)  # Windows has none
    return stat.st_size if blocks is None else blocks * _BLOCK_BYTES


def _shown(name: str) -> str:
    r"""Return a file name that JSON can carry; bytes outside UTF-8 become `\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
