"""A process of another version: its messages are those of the version before this one, or of the next.

    python -m tests.support.other_version older dts_worker.cli -c FILE ...

The older one writes the format before ours and does not know the last field of any record that may be left out, nor
the others of ADDED: it neither sends nor sees them. The newer one writes the format after ours and sends a field that
nobody here knows with every record, however deep.
"""

import runpy
import sys
from typing import Any, Final

import msgspec

from dts_core import codec

OLDER: Final = "older"
NEWER: Final = "newer"
UNKNOWN: Final = {"of": "the next version", "deep": [[1], {"x": None}]}


ADDED: Final = {"JobMessage": 3}
"""record -> how many fields this version added, where more than one: trial, sealed and envelope came together."""


def latest_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields that were added last to a record -> their defaults; empty when none may be left out."""
    latest = msgspec.structs.fields(kind)[-ADDED.get(kind.__name__, 1) :]
    return {
        each.name: each.default_factory() if each.default is msgspec.NODEFAULT else each.default
        for each in latest
        if not each.required
    }


def plain_of(value: Any, version: str) -> Any:
    """A record as that version sends it."""
    if isinstance(value, msgspec.Struct):
        return _record(value, version)
    if isinstance(value, dict):
        return {key: plain_of(part, version) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain_of(part, version) for part in value]
    return value


def _record(value: msgspec.Struct, version: str) -> Any:
    config = value.__struct_config__
    unknown = latest_of(type(value)) if version == OLDER else {}
    sent = {
        field.encode_name: plain_of(getattr(value, field.name), version)
        for field in msgspec.structs.fields(value)
        if field.name not in unknown
    }
    if version == NEWER:
        sent["added_by_the_next_version"] = UNKNOWN
    if config.array_like:
        return [*([] if config.tag is None else [config.tag]), *sent.values()]
    return ({} if config.tag_field is None else {config.tag_field: config.tag}) | sent


def unseen(value: Any) -> Any:
    """A record as the older version sees it: without what it does not know."""
    if isinstance(value, msgspec.Struct):
        unknown = latest_of(type(value))
        seen = {
            field: unseen(getattr(value, field))
            for field in value.__struct_fields__
            if field not in unknown
        }
        return msgspec.structs.replace(value, **seen, **unknown)
    if isinstance(value, dict):
        return {key: unseen(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(unseen(part) for part in value)
    return value


class RecordEncoder:
    """Stands for a MessagePack encoder of that version."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._encoder = msgspec.msgpack.Encoder()

    def encode(self, value: Any) -> bytes:
        return self._encoder.encode(plain_of(value, self._version))


class _Decoder:
    def __init__(self, kind: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(kind)

    def decode(self, packed: Any) -> Any:
        return unseen(self._decoder.decode(packed))


def become(version: str) -> None:
    """Let this process speak as that version from now on."""
    ours: Any = codec
    ours.FORMAT += {OLDER: -1, NEWER: 1}[version]
    ours._encoder = RecordEncoder(version)
    if version == OLDER:
        ours._decoder = _Decoder


def main() -> None:
    """Become that version, then run the module with the rest of the arguments."""
    version, module = sys.argv[1:3]
    become(version)
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
