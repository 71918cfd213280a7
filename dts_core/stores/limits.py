"""Bounds that every store keeps to: how much one call looks at, answers with, removes."""

from typing import Final

IDS_MAX: Final = 1000
"""Most ids of one bulk read."""
RECENT: Final = 50
"""Length of a submitter's list of last jobs."""
LIST_BYTES: Final = 32 << 20
"""A list of jobs ends with the one that brings its arguments to this size; the caller asks for more anyway."""
FORGET_CHUNK: Final = 500
"""Jobs removed in one write: bounds how long others wait for it."""
BUCKET_SECONDS: Final = 5
"""Width of one bucket of finished jobs; the dashboard's last minute is exact to this."""
TALLY_SECONDS: Final = 3600 + 2 * BUCKET_SECONDS
"""How long buckets are kept."""
SWEEP_MAX: Final = 20
"""Most uploads removed in one write."""

PAGE_MAX: Final = 500
"""Most jobs of one page."""
WINDOW: Final = 2_000
"""Most rows of the driving filter that one page looks at when other filters have to be checked."""
TEXT_WINDOW: Final = 8_000
"""The same when a text is searched and nothing else drives."""
TEXT_NEWEST: Final = 100_000
"""Only that many of the newest jobs are searched for a text."""
PAGE_BYTES: Final = 4 << 20
"""A page ends with the job that brings its arguments to this size: 500 jobs may hold 1 MiB each."""

DOCUMENTS_MAX: Final = 1000
"""Most documents or operations of one list."""

LOGS_MAX: Final = 2000
"""Most log records of one answer."""
LOOK: Final = 100_000
"""Most log records one query looks at, of its index or of the whole log."""
LOUD: Final = 30
"""From this level on, log records have an index of their own."""
TRIM_CHUNK: Final = 2_000
"""Positions of log records cleared in one write."""
TRIM_SAMPLE: Final = 500
"""Log records at each end whose size stands for all."""
RECORD_OVERHEAD: Final = 60
"""Bytes of a log record beside its texts: integers, headers, index entries."""

LETTERS_MAX: Final = 500
"""Most dead letters of one list."""
PARTS_KEPT_SECONDS: Final = 3600.0
"""A part that said nothing for this long is forgotten."""

RUNS_MAX: Final = 1000
"""Most hosts of a fan-out in one list."""
OUTPUTS_MAX: Final = 100
"""The same, with what they printed."""
