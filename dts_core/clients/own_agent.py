"""The SSH agent of whoever asks: which keys it has, and signatures for logins, never for anything else.

Source: draft-miller-ssh-agent; RFC 4252, section 7 (what a login signs).
"""

import base64
import contextlib
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from dts_core.errors import ConfigError, Forbidden
from dts_core.model import Wording
from dts_core.text import clean

__all__ = ["LoginRequest", "OwnAgent", "OwnKey", "login_request"]

SECONDS: Final = 60.0
"""For an answer: it may ask its owner first."""
ANSWER_MAX: Final = 256 << 10
KEYS_MAX: Final = 5
LISTED_MAX: Final = 1_000
_LIST, _LISTED, _SIGN, _SIGNED = 11, 12, 13, 14
_USERAUTH_REQUEST: Final = 50
_RSA_FLAGS: Final[Mapping[bytes, int]] = {b"rsa-sha2-256": 2, b"rsa-sha2-512": 4}
_LENGTH: Final = struct.Struct(">I")


class OwnKey(NamedTuple):
    """A key of the agent, its public half."""

    line: str
    """`TYPE BASE64`"""
    comment: str

    @property
    def blob(self) -> bytes:
        """As it goes over the wire."""
        return base64.b64decode(self.line.split()[1])


class LoginRequest(NamedTuple):
    """What the data to be signed says: this user logs in with this key."""

    user: str
    algorithm: bytes
    key: bytes


class OwnAgent:
    """A connection for each request, so that a restarted agent is no matter.

    Args:
        path: Of its socket; by default as SSH_AUTH_SOCK says.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path or os.environ.get("SSH_AUTH_SOCK", "")

    def keys(self) -> list[OwnKey]:
        """Its first keys, without certificates: sshd takes no more tries.

        Raises:
            ConfigError: There is no agent, or it has no key.
        """
        answer = self._asked(bytes([_LIST]), _LISTED)
        try:
            (count,) = _LENGTH.unpack_from(answer)
            fields = _strings(answer[_LENGTH.size :])
            listed = [_key(next(fields), next(fields)) for _ in range(min(count, LISTED_MAX))]
        except (StopIteration, RuntimeError, ValueError, struct.error):
            raise _unusable("it answers what no SSH agent does") from None
        found = [key for key in listed if "-cert-" not in key.line][:KEYS_MAX]
        if not found:
            raise _unusable("it has no key", advice="Add one: ssh-add.")
        return found

    def sign(self, key: OwnKey, data: bytes, *, user: str) -> bytes:
        """Its signature of a login; whoever asks with anything else is refused.

        Args:
            key: One of its keys.
            data: What is to be signed.
            user: Who is to log in with it.

        Raises:
            Forbidden: It is no login, or one of another user or key: nothing is signed.
            ConfigError: The agent is gone, or refuses.
        """
        request = login_request(data)
        if request is None:
            raise Forbidden("what is to be signed is no SSH login: it was not signed.")
        if (request.user, request.key) != (user, key.blob):
            raise Forbidden("what is to be signed is another login than the one that is shown.")
        flags = _RSA_FLAGS.get(request.algorithm, 0)
        asked = bytes([_SIGN]) + _string(key.blob) + _string(data) + _LENGTH.pack(flags)
        try:
            return next(_strings(self._asked(asked, _SIGNED)))
        except (StopIteration, ValueError):
            raise _unusable("it answers what no SSH agent does") from None

    def answer(self, wording: Wording) -> list[str]:
        """What answers a question for a signature; raises as `sign`."""
        key = next((each for each in self.keys() if each.line == wording.public_key), None)
        if key is None:
            raise Forbidden("a signature is asked for of a key that your SSH agent does not have.")
        signature = self.sign(key, wording.data, user=wording.user)
        return [base64.b64encode(signature).decode()]

    def _asked(self, message: bytes, wanted: int) -> bytes:
        if not self._path:
            raise _unusable("none is running here", advice="Start one: eval $(ssh-agent); ssh-add.")
        try:
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as stream:
                stream.settimeout(SECONDS)
                stream.connect(self._path)
                stream.sendall(_string(message))
                (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
                answer = _exactly(stream, length) if 0 < length <= ANSWER_MAX else b""
        except (OSError, EOFError) as error:
            why = getattr(error, "strerror", None) or "it does not answer"
            raise _unusable(why) from error
        if not answer or answer[0] != wanted:
            raise _unusable("it refuses")
        return answer[1:]


def login_request(data: bytes) -> LoginRequest | None:
    """Who logs in with which key, where the data is what SSH has signed for that; None: it is anything else."""
    try:
        fields = _strings(data)
        session = next(fields)
        head = _LENGTH.size + len(session)
        if not 20 <= len(session) <= 64 or data[head] != _USERAUTH_REQUEST:
            return None
        fields = _strings(data[head + 1 :])
        user, service, method = next(fields), next(fields), next(fields)
        at = head + 1 + 3 * _LENGTH.size + len(user) + len(service) + len(method)
        if (service, method, data[at]) != (b"ssh-connection", b"publickey", 1):
            return None
        algorithm, key = list(_strings(data[at + 1 :]))
        return LoginRequest(user.decode(), algorithm, key)
    except (StopIteration, RuntimeError, ValueError, IndexError):
        return None


def _key(blob: bytes, comment: bytes) -> OwnKey:
    kind = next(_strings(blob)).decode("ascii")
    line = f"{kind} {base64.b64encode(blob).decode()}"
    return OwnKey(line, clean(comment.decode("utf-8", "replace"), 120))


def _strings(data: bytes) -> Iterator[bytes]:
    """Strings behind their lengths, until there is nothing more.

    Raises:
        ValueError: The data is cut off.
    """
    at = 0
    while at < len(data):
        if at + _LENGTH.size > len(data):
            raise ValueError("cut off")
        (length,) = _LENGTH.unpack_from(data, at)
        begin, at = at + _LENGTH.size, at + _LENGTH.size + length
        if at > len(data):
            raise ValueError("cut off")
        yield data[begin:at]


def _string(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _exactly(stream: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        data = stream.recv(count - len(found))
        if not data:
            raise EOFError
        found += data
    return found


def _unusable(why: str, *, advice: str = "See `ssh-add -l`.") -> ConfigError:
    return ConfigError(f"your SSH agent cannot be used: {why}.", advice=advice)
