"""Counts the lines, words, characters and bytes of a text file."""

import codecs
import re
import string
from collections import Counter
from pathlib import Path
from typing import BinaryIO

from dts_core import job

_CHUNK_BYTES = 1 << 20
_LONGEST_WORD = 1 << 16  # characters kept of a word that spans chunks; it still counts once
_MOST_DISTINCT = 200_000  # distinct words remembered; beyond it the rare half is forgotten
_TOP = 10

# What separates words for `wc` in a UTF-8 locale, and the characters where str.split differs.
_SPACE = re.compile("[\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u2060\u3000]+")
_ODD = re.compile("[\x1c-\x1f\x85\u2060]")


def main(path: str) -> dict[str, object]:
    """Count lines, words, characters and bytes of a file, as `wc` does in a UTF-8 locale.

    The file is read in pieces, so its size does not matter. Bytes that are not UTF-8 count as
    bytes only.

    Args:
        path: The file to read, on the host that runs the job; `~` is the home folder.

    Returns:
        `lines`, `words`, `chars`, `bytes` and `most_common`: up to ten [word, count] pairs in
        lower case without punctuation around them, most frequent first.
    """
    file = Path(path).expanduser()
    tally = _Tally()
    with file.open("rb") as stream:
        tally.read(stream, size=file.stat().st_size)
    job.logger.info("%s: %d words", file, tally.words)
    return {
        "path": str(file),
        "lines": tally.lines,
        "words": tally.words,
        "chars": tally.chars,
        "bytes": tally.bytes,
        "most_common": [list(pair) for pair in tally.seen.most_common(_TOP)],
    }


class _Tally:
    """Running totals over the pieces of one file."""

    def __init__(self) -> None:
        self.lines = self.words = self.chars = self.bytes = 0
        self.seen: Counter[str] = Counter()
        self._begun = ""  # the unfinished word at the end of the last piece

    def read(self, stream: BinaryIO, *, size: int) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        while chunk := stream.read(_CHUNK_BYTES):
            self.bytes += len(chunk)
            self.lines += chunk.count(b"\n")
            self._add(decoder.decode(chunk))
            if size:
                job.progress(min(self.bytes / size, 1.0), f"{self.bytes:,} of {size:,} bytes")
        self._add(decoder.decode(b"", final=True))
        self._count([self._begun])

    def _add(self, text: str) -> None:
        self.chars += len(text)
        text = self._begun + text
        tokens = _SPACE.split(text) if _ODD.search(text) else text.split()
        self._begun = ""
        if tokens and text and not _SPACE.match(text[-1]):
            self._begun = _shorten(tokens.pop())
        self._count(tokens)

    def _count(self, tokens: list[str]) -> None:
        for token, times in Counter(tokens).items():
            # Like wc, a run without a single printable character is no word.
            if not any(map(str.isprintable, token)):
                continue
            self.words += times
            if word := token.strip(string.punctuation).casefold():
                self.seen[word] += times
        if len(self.seen) > _MOST_DISTINCT:
            self.seen = Counter(dict(self.seen.most_common(_MOST_DISTINCT // 2)))


def _shorten(word: str) -> str:
    if len(word) <= _LONGEST_WORD:
        return word
    return "".join(filter(str.isprintable, word))[:_LONGEST_WORD] or word[:1]
