"""What a newer version has put into a document and this one does not know, kept over a change made here."""

from typing import Any

import msgspec

__all__ = ["keep_unknown"]


def keep_unknown(stored: bytes, known: bytes, changed: bytes) -> bytes:
    """The changed document with everything of the stored one that this version does not know.

    What lies within a part that the change touches is kept as well; what lies within a part of a list that is not there
    any more goes with it.

    Args:
        stored: As the store has it, MessagePack.
        known: The same as this version reads it, packed again.
        changed: As this version would store it.
    """
    if stored == known:
        return changed
    kept = _kept(*(msgspec.msgpack.decode(each) for each in (stored, known, changed)))
    return msgspec.msgpack.encode(kept)


def _kept(stored: Any, known: Any, changed: Any) -> Any:
    if changed == known:
        return stored
    if isinstance(stored, dict) and isinstance(known, dict) and isinstance(changed, dict):
        unknown = {name: part for name, part in stored.items() if name not in known}
        return unknown | {
            name: _kept(stored[name], known[name], part) if name in stored else part
            for name, part in changed.items()
            if name not in unknown
        }
    if isinstance(stored, list) and isinstance(known, list) and isinstance(changed, list):
        originals = {
            msgspec.msgpack.encode(part): stored[at] for at, part in enumerate(known)
        }  # fmt: skip
        return [originals.get(msgspec.msgpack.encode(part), part) for part in changed]
    return changed
