"""The server's address: who may reach it, and a socket that is bound before anything else starts."""

import errno
import ipaddress
import socket
import ssl
from pathlib import Path

from dts_core.errors import ConfigError
from dts_core.settings import ServerSettings
from dts_core.text import clean

__all__ = ["bind", "check_exposure", "url_of"]

BACKLOG = 1024


def check_exposure(settings: ServerSettings) -> None:
    """Refuse an address that others can reach without TLS, unless that is asked for.

    Raises:
        ConfigError: No TLS and not `insecure`; or one TLS file without the other; or they do not fit.
    """
    if bool(settings.tls_cert) != bool(settings.tls_key):
        missing = "tls_key" if settings.tls_cert else "tls_cert"
        raise ConfigError(
            "is missing.", key=f"server.{missing}", advice="TLS needs certificate and key."
        )
    if settings.tls_cert:
        _check_tls(settings)
    elif not settings.insecure and not is_loopback(settings.host):
        raise ConfigError(
            f"{clean(settings.host)} can be reached from outside, and there is no TLS.",
            key="server.host",
            advice="Set [server] tls_cert and tls_key, or say --insecure.",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_tls(settings: ServerSettings) -> None:
    for key, name in (("tls_cert", settings.tls_cert), ("tls_key", settings.tls_key)):
        try:
            with Path(name).open("rb"):
                pass
        except OSError as error:
            raise ConfigError(
                f"cannot be read: {error.strerror}.", file=clean(name), key=f"server.{key}"
            ) from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"certificate and key do not fit or are no PEM: {clean(str(error))}.",
            key="server.tls_cert, server.tls_key",
        ) from error


def bind(host: str, port: int, *, or_any: bool = False) -> socket.socket:
    """A listening socket. With `or_any` a port that is taken is answered with any free one.

    Raises:
        ConfigError: The port is taken or not allowed, or the address is not this machine's.
    """
    try:
        return _listen(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and or_any:
            return bind(host, 0)
        raise _refusal(host, port, error) from error


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    listener.setblocking(False)
    return listener


def _refusal(host: str, port: int, error: OSError) -> ConfigError:
    where = clean(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    if isinstance(error, socket.gaierror):
        return ConfigError(f"there is no address {clean(host)}.", key="server.host")
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} is taken: {where} has another listener.",
            advice="Choose another with --port, or 0 for any free one.",
        )
    if error.errno == errno.EACCES:
        return ConfigError(f"{where} needs privileges.", advice="Choose a port from 1024.")
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigError(f"{clean(host)} is no address of this machine.", key="server.host")
    return ConfigError(f"{where} cannot be listened on: {error.strerror}.")


def url_of(listener: socket.socket, *, tls: bool) -> str:
    """The address for clients on this machine; of a wildcard, the loopback one."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"
