"""What every document and message is."""

import msgspec


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is stored as a map; unknown fields of a newer version are not looked at."""


class Record(msgspec.Struct, frozen=True, array_like=True):
    """Base of hot messages, stored and sent as arrays."""
