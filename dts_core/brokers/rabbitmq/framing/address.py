"""Where the broker is and who we are there, from a URL of RabbitMQ's form."""

from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import msgspec

from dts_core.errors import ConfigError

_PORTS: Final = {"amqp": 5672, "amqps": 5671}
_GUEST: Final = "guest"


class Address(msgspec.Struct, frozen=True):
    """A broker. Its printed form hides the password."""

    host: str
    port: int
    vhost: str
    user: str
    password: str
    is_tls: bool
    mechanism: str
    """PLAIN, or EXTERNAL: the certificate says who we are."""

    def __repr__(self) -> str:
        return f"Address({self})"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}{'' if self.vhost == '/' else '/' + self.vhost}"

    def proof(self) -> bytes:
        """What the mechanism sends to prove who we are."""
        if self.mechanism == "EXTERNAL":
            return b""
        return f"\0{self.user}\0{self.password}".encode()


def address_of(url: str) -> Address:
    """Take a URL amqp(s)://USER:PASSWORD@HOST:PORT/VHOST apart; `?auth=external` logs in by certificate.

    Raises:
        ConfigError: Another form. The message does not quote the URL, which holds a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        raise ConfigError(
            "the broker's URL is no AMQP URL.",
            advice="Write it as amqp(s)://USER:PASSWORD@HOST:PORT/VHOST.",
        ) from None
    mechanism = parse_qs(parts.query).get("auth", ["plain"])[0].upper()
    if mechanism not in ("PLAIN", "EXTERNAL"):
        raise ConfigError("auth= of the broker's URL is neither plain nor external.")
    return Address(
        host=parts.hostname or "localhost",
        port=port,
        vhost=_vhost(parts),
        user=unquote(parts.username or "") or _GUEST,
        password=unquote(parts.password or "") or _GUEST,
        is_tls=parts.scheme == "amqps",
        mechanism=mechanism,
    )


def _vhost(parts: SplitResult) -> str:
    return unquote(parts.path[1:]) or "/"
