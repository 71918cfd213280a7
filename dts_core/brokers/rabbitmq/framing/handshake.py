"""From the greeting to an open virtual host: what comes in, what is answered; no socket here."""

import platform
from typing import Any, Final

from dts_core import __version__
from dts_core.brokers.rabbitmq.framing import spec, writing
from dts_core.brokers.rabbitmq.framing.address import Address
from dts_core.brokers.rabbitmq.framing.fields import Fields
from dts_core.brokers.rabbitmq.framing.incoming import Method
from dts_core.errors import BrokerUnavailable, CodecError

_ACCESS_REFUSED: Final = 403
_NOT_ALLOWED: Final = 530
_CAPABILITIES: Final = {
    "authentication_failure_close": True,
    "basic.nack": True,
    "connection.blocked": True,
    "consumer_cancel_notify": True,
    "publisher_confirms": True,
}
_NEEDED: Final = ("basic.nack", "publisher_confirms")


class Handshake:
    """The steps of a new connection.

    Attributes:
        heartbeat_seconds: As agreed upon; 0: none.
        frame_max: As agreed upon, in bytes.
        is_open: Whether the virtual host is open.
    """

    def __init__(self, address: Address, *, name: str, heartbeat_seconds: int) -> None:
        self._address = address
        self._name = name
        self._expected = spec.CONNECTION_START
        self.heartbeat_seconds = heartbeat_seconds
        self.frame_max = spec.FRAME_MAX
        self.is_open = False

    def answer(self, method: Method) -> bytes:
        """What is sent upon a method; may be nothing.

        Raises:
            BrokerUnavailable: The broker refuses us, or cannot do what is needed.
            CodecError: It speaks out of turn.
        """
        fields = Fields(method.args)
        if method.id == spec.CONNECTION_CLOSE:
            raise self._refusal(fields)
        if method.id != self._expected or method.channel:
            raise CodecError(f"method {method.id >> 16}.{method.id & 0xFFFF} out of turn.")
        if method.id == spec.CONNECTION_START:
            self._expected = spec.CONNECTION_TUNE
            return self._start(fields)
        if method.id == spec.CONNECTION_TUNE:
            self._expected = spec.CONNECTION_OPEN_OK
            return self._tune(fields)
        self.is_open = True
        return b""

    def _start(self, fields: Fields) -> bytes:
        version = fields.octet(), fields.octet()
        if version != (0, 9):
            raise BrokerUnavailable(f"{self._address} speaks AMQP {version[0]}.{version[1]}.")
        capabilities = fields.table().get("capabilities")
        mechanisms = fields.long_raw().decode("ascii", "replace").split()
        if not isinstance(capabilities, dict) or not all(map(capabilities.get, _NEEDED)):
            raise BrokerUnavailable(
                f"{self._address} has no publisher confirms.", advice="RabbitMQ is needed."
            )
        if self._address.mechanism not in mechanisms:
            raise BrokerUnavailable(
                f"{self._address} takes no login by {self._address.mechanism}.",
                advice="Its auth_mechanisms say which it takes.",
            )
        return writing.start_ok(self._client(), self._address.mechanism, self._address.proof())

    def _client(self) -> dict[str, Any]:
        return {
            "product": "dts",
            "version": __version__,
            "platform": f"{platform.python_implementation()} {platform.python_version()}",
            "connection_name": self._name,
            "capabilities": _CAPABILITIES,
        }

    def _tune(self, fields: Fields) -> bytes:
        fields.short()  # how many channels: one is enough for us
        frame_max, heartbeat = fields.long(), fields.short()
        self.frame_max = min(frame_max or spec.FRAME_MAX, spec.FRAME_MAX)
        if self.frame_max < spec.FRAME_MIN:
            raise CodecError(f"frames of at most {frame_max} bytes are asked for.")
        wanted = self.heartbeat_seconds
        self.heartbeat_seconds = min(wanted, heartbeat) or max(wanted, heartbeat)
        return writing.tune_ok(self.frame_max, self.heartbeat_seconds) + writing.open_vhost(
            self._address.vhost
        )

    def _refusal(self, fields: Fields) -> BrokerUnavailable:
        code, text = fields.short(), fields.short_text()
        if code == _ACCESS_REFUSED:
            return BrokerUnavailable(
                f"{self._address} refuses user {self._address.user!r}.",
                advice="Check user and password in the broker's URL."
                if self._address.mechanism == "PLAIN"
                else "Its users have no such name as our certificate shows.",
            )
        if code == _NOT_ALLOWED:
            return BrokerUnavailable(
                f"{self._address} does not let user {self._address.user!r} in: {text}",
                advice="Check the virtual host and the user's permissions.",
            )
        return BrokerUnavailable(f"{self._address} closed the connection: {code} {text}")
