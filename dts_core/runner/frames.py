"""The frames between a worker and its children; both sides read this file.

A frame is: length of the rest (u32), type (u8), number of the job (u32), body. Numbers are big-endian. JSON of
arguments and results travels as the bytes it came in.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from struct import Struct
else:
    try:
        from _struct import Struct  # what `struct` has beside it is one more file to find
    except ImportError:
        from struct import Struct

HEAD = Struct("!IBI")
"""Length of what follows the length field, type, number of the job (0: none)."""
JOB_HEAD = Struct("!II")
"""Length of the JSON header, length of the args; the kwargs are the rest."""
PROGRESS_HEAD = Struct("!d")

NO_PACKAGES = b"dts-no-packages"
"""What a far child says on standard error where the folder of packages that it is given is gone."""
PACKAGES_LOCK = ".dts-used"
"""In each such folder, held shared by who runs with it: see `dts_core/ssh/setup/far/packages.py`."""

# worker -> child
SOURCE = 1
"""Body: hash (64 bytes), length of the function's name (u16), its name, the source."""
JOB = 2
"""Body: JOB_HEAD, header [hash, function, id, attempt, submitter, timeout, result_max], args, kwargs."""
CANCEL = 3
PING = 4
FORGET = 5
"""Body: hash."""
CHECK = 6
"""Body: hash. Load it and answer like a job that returns null."""

# child -> worker
READY = 16
"""Body: version of the interpreter."""
RESULT = 17
"""Body: JSON."""
FAILED = 18
"""Body: JSON object with type, message, traceback, retry."""
LOG = 19
"""Body: level (u8), text."""
PROGRESS = 20
"""Body: fraction (f64), text."""
PONG = 21
"""Body: number of the job that has the event loop (u32, 0: none)."""
RETIRE = 22
"""Body: why this child must not be given another job."""

LINE_MAX = 4096
"""Longest line of a log, in characters."""
RECORD_MAX = 16384
"""Longest record of a log (a traceback has many lines), in characters."""
TEXT_MAX = 200
"""Longest text of a progress report, in characters."""

BUNDLE = b"dts bundle 1 "
"""How a source of several modules begins."""

Frame = tuple[int, int, bytes]


def pack(kind: int, number: int, body: bytes = b"") -> bytes:
    """One frame as bytes."""
    return HEAD.pack(len(body) + 5, kind, number) + body


def split(data: bytes, most: int) -> tuple[list[Frame], bytes]:
    """Cut the whole frames off the front of `data`; returns them and what is left.

    Raises:
        ValueError: A frame says that it is longer than `most` bytes, or shorter than its own head.
    """
    frames: list[Frame] = []
    at, end, unpack = 0, len(data), HEAD.unpack_from
    while end - at >= 9:
        size, kind, number = unpack(data, at)
        if size > most or size < 5:
            raise ValueError(f"a frame of {size} bytes")
        stop = at + 4 + size
        if stop > end:
            break
        frames.append((kind, number, data[at + 9 : stop]))
        at = stop
    return frames, data[at:] if at else data


class LineBudget:
    """At most `per_second` lines in each second; counts what it refuses."""

    __slots__ = ("_left", "_second", "dropped", "per_second")

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self.dropped = 0
        self._left = per_second
        self._second = 0.0

    def allows(self, now: float) -> bool:
        """Whether one more line may pass at `now` (monotonic seconds)."""
        if now - self._second >= 1.0:
            self._second = now
            self._left = self.per_second
        if self._left <= 0:
            self.dropped += 1
            return False
        self._left -= 1
        return True

    def take_dropped(self) -> int:
        """How many lines were refused since the last call."""
        dropped, self.dropped = self.dropped, 0
        return dropped
