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


def addresses_of(url: str) -> tuple[Address, ...]:
    """Every node of a cluster that a URL amqp(s)://USER:PASSWORD@HOST:PORT,HOST:PORT/VHOST lists, in its order.

    Raises:
        ConfigError: As of `address_of`.
    """
    return tuple(address_of(each) for each in _nodes(url))


def _nodes(url: str) -> list[str]:
    """The URL of each node alone."""
    scheme, mark, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    login, at, hosts = place.rpartition("@")
    return [f"{scheme}{mark}{login}{at}{host}{slash}{path}" for host in hosts.split(",")]


def address_of(url: str) -> Address:
    """Take a URL amqp(s)://USER:PASSWORD@HOST:PORT/VHOST apart; `?auth=external` logs in by certificate.

    Of several nodes it is the first.

    Raises:
        ConfigError: Another form. The message does not quote the URL, which holds a password.
    """
    try:
        parts = urlsplit(_nodes(url)[0])
        port = parts.port or _PORTS[parts.scheme]
    except (KeyError, ValueError):
        raise ConfigError(
            "the broker's URL is no AMQP URL.",
            advice="Write it as amqp(s)://USER:PASSWORD@HOST:PORT/VHOST.",
        ) from None
    mechanism = parse_qs(parts.query).get("auth", ["plain"])[0].upper()
    if mechanism not in ("PLAIN", "EXTERNAL"):
        raise ConfigError("auth= of the broker's URL is neither plain nor external.")
    if mechanism == "EXTERNAL" and (parts.scheme != "amqps" or not parts.username):
        raise ConfigError(
            "auth=external of the broker's URL takes TLS, and the user whom the certificate names.",
            key="broker.url",
            advice="Write it as amqps://USER@HOST:5671/VHOST?auth=external.",
        )
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
