"""What a connection to RabbitMQ trusts, and what it shows of itself."""

import ssl
from pathlib import Path

from dts_core.errors import ConfigError
from dts_core.settings import TlsSettings
from dts_core.text import clean


def context_of(tls: TlsSettings) -> ssl.SSLContext:
    """The context for amqps; the server's certificate and its name are always verified.

    Raises:
        ConfigError: A file cannot be read, is no PEM, or key and certificate do not fit.
    """
    ca, cert, key = (
        str(Path(file).expanduser()) if file else None
        for file in (tls.ca_file, tls.cert_file, tls.key_file)
    )
    try:
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert is not None:
            # An empty password rather than a question on the terminal.
            context.load_cert_chain(cert, key, password=lambda: b"")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"the files cannot be used: {clean(str(reason), 200)}.",
            key="broker.tls",
            advice="ca_file, cert_file and key_file are PEM files; the key has no password.",
        ) from error
    return context
