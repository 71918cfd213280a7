"""Boxes of secret arguments: each opens for the one call that it was sealed for."""

import hashlib
import hmac
import struct
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from dts_core.errors import InvalidInput, KeyMissing, SealBroken, TooLarge
from dts_core.model import Sealed
from dts_core.names import split_function
from dts_core.sealed.keys import OpeningKey, SealingKey
from dts_core.text import clean

__all__ = ["HIDDEN", "Call", "Opener", "Sealer"]

HIDDEN: Final = "***"
"""What stands in the place of a secret argument wherever arguments are stored and shown."""
SECRETS_MAX: Final = 64 << 10
"""Most bytes of JSON that the secrets of one call may have: a box does not deflate, and has to fit into a message."""
BLOCK: Final = 64
"""The content is filled up to a multiple of so many bytes: the length of a password is not told."""
_CONTEXT: Final = b"dts secret arguments 1\0"
_LENGTH: Final = struct.Struct(">I")
_BOUND_BYTES: Final = 32
_MASK: Final = msgspec.Raw(b'"***"')
_list = msgspec.json.Decoder(list[msgspec.Raw])
_dict = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Call(msgspec.Struct, frozen=True):
    """The call that a box belongs to: nothing of it can be exchanged without breaking the seal."""

    function: str
    """namespace/name"""
    args: bytes
    """JSON array, with HIDDEN in the places of secrets."""
    kwargs: bytes
    """JSON object, likewise."""


class Sealer:
    """Seals the secret arguments of calls.

    Args:
        keys: The first one for a namespace seals; one of no namespace seals for all without a key of their own.
    """

    def __init__(self, keys: Iterable[SealingKey]) -> None:
        self._keys: dict[str, SealingKey] = {}
        for key in keys:
            self._keys.setdefault(key.namespace, key)

    @property
    def names(self) -> list[str]:
        """The keys that seal: the id of each, behind it the namespace if it is for one alone; sorted."""
        return sorted(f"{key.id} {key.namespace}".rstrip() for key in self._keys.values())

    def seal(self, call: Call, places: Mapping[str, str]) -> tuple[Call, Sealed]:
        """The call with its secrets taken out, and the box that they are in.

        Args:
            call: With everything in clear.
            places: `args/INDEX` or `kwargs/NAME` of each secret -> the parameter that takes it; at least one.

        Raises:
            InvalidInput: There is no key for its namespace.
            TooLarge: The secrets have more than SECRETS_MAX bytes.
        """
        namespace = split_function(call.function)[0]
        key = self._keys.get(namespace) or self._keys.get("")
        if key is None:
            raise no_key(call.function)
        args, kwargs = _list.decode(call.args), _dict.decode(call.kwargs)
        taken: dict[str, msgspec.Raw] = {}
        for place in places:
            kind, _, name = place.partition("/")
            if kind == "args":
                taken[place], args[int(name)] = args[int(name)], _MASK
            else:
                taken[place], kwargs[name] = kwargs[name], _MASK
        masked = Call(call.function, msgspec.json.encode(args), msgspec.json.encode(kwargs))
        sealed = Sealed(key=key.id, places=dict(places), box=b"")
        content = msgspec.json.encode(taken)
        if len(content) > SECRETS_MAX:
            raise TooLarge(
                f"the secret arguments have {len(content)} bytes, more than {SECRETS_MAX}.",
                advice="Pass a key, and the data sealed with it as an argument that is none.",
            )
        filled = _bound(masked, sealed) + _LENGTH.pack(len(content)) + content
        box = key.seal(filled + bytes(-len(filled) % BLOCK))
        return masked, msgspec.structs.replace(sealed, box=box)


class Opener:
    """Opens them.

    Args:
        keys: Any of them may have been sealed to.
    """

    def __init__(self, keys: Iterable[OpeningKey] = ()) -> None:
        self._keys = {key.public.id: key for key in keys}

    @property
    def ids(self) -> list[str]:
        """The keys' ids, sorted."""
        return sorted(self._keys)

    def open(self, call: Call, sealed: Sealed) -> tuple[Call, list[bytes]]:
        """The call in clear, and the JSON of each secret in it.

        Raises:
            KeyMissing: The key that it is sealed to is not here.
            SealBroken: It was altered, or belongs to another call.
        """
        key = self._keys.get(sealed.key)
        if key is None:
            raise KeyMissing(
                f"the secret arguments are sealed to key {clean(sealed.key, 40)!r}, which this worker does not have.",
                advice="Give the worker that key: [arguments] key_file (docs/security.md, Secret arguments).",
            )
        filled = key.open(sealed.box)
        if not hmac.compare_digest(filled[:_BOUND_BYTES], _bound(call, sealed)):
            raise SealBroken(
                "the secret arguments belong to another call, or the call was altered."
            )
        try:
            return _filled_in(call, sealed, filled[_BOUND_BYTES:])
        except (msgspec.MsgspecError, LookupError, ValueError, struct.error):
            raise SealBroken("the secret arguments do not fit the call.") from None


def no_key(function: str) -> InvalidInput:
    """What a submitter hears where nothing can be sealed."""
    return InvalidInput(
        f"this server has no key for the secret arguments of {clean(function, 240)}.",
        advice="An administrator names one in [arguments] public_keys (docs/security.md, Secret arguments).",
    )


def _filled_in(call: Call, sealed: Sealed, content: bytes) -> tuple[Call, list[bytes]]:
    (length,) = _LENGTH.unpack_from(content)
    taken = _dict.decode(content[_LENGTH.size : _LENGTH.size + length])
    args, kwargs = _list.decode(call.args), _dict.decode(call.kwargs)
    for place in sealed.places:
        kind, _, name = place.partition("/")
        if kind == "args":
            args[int(name)] = taken[place]
        else:
            kwargs[name] = taken[place]
    opened = Call(call.function, msgspec.json.encode(args), msgspec.json.encode(kwargs))
    return opened, [bytes(taken[place]) for place in sealed.places]


def _bound(call: Call, sealed: Sealed) -> bytes:
    """sha256 over all that the box belongs to, every part behind its length."""
    parts = [sealed.key, *split_function(call.function)]
    for place, parameter in sorted(sealed.places.items()):
        parts += [place, parameter]
    found = hashlib.sha256(_CONTEXT)
    for part in (*(each.encode() for each in parts), call.args, call.kwargs):
        found.update(_LENGTH.pack(len(part)) + part)
    return found.digest()
