"""How we check the other end of a TLS connection, and prove who we are there."""

import ssl
from pathlib import Path

from dts_core.errors import ConfigError
from dts_core.settings import TlsSettings
from dts_core.text import clean

__all__ = ["client_context"]


def client_context(settings: TlsSettings, *, table: str) -> ssl.SSLContext:
    """A context that checks the certificate and the name, with the authorities and the certificate of the settings.

    Raises:
        ConfigError: A file cannot be read, is no PEM, or key and certificate do not fit.
    """
    ca, cert, key = (
        str(Path(name).expanduser()) if name else None
        for name in (settings.ca_file, settings.cert_file, settings.key_file)
    )
    try:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert is not None:
            context.load_cert_chain(cert, key, password=lambda: b"")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"the files cannot be used: {clean(str(reason), 200)}.",
            key=f"{table}.tls",
            advice="ca_file, cert_file and key_file are PEM files; the key has no password.",
        ) from error
    return context
