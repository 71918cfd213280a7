"""One session with a mail server: a message to each recipient, and what became of each."""

import asyncio
import base64
import platform
import ssl
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from typing import Final

import aiosmtplib
import msgspec

from dts_core.errors import ConfigError, DtsError
from dts_core.names import is_host
from dts_core.services.mail import PORTS, Recipient, password_of
from dts_core.services.mailtext import Letter, compose
from dts_core.settings import SmtpSettings
from dts_core.text import clean

__all__ = ["Outcome", "ServerAway", "deliver"]

WORDS_MAX: Final = 300
"""Longest reason that is kept of what a server says, in characters."""
STEPS: Final = 4
"""A server that answers each step just in time is given up after as many of them."""
_PERMANENT: Final = range(500, 600)


class Outcome(msgspec.Struct):
    """What became of each recipient, by user."""

    sent: list[str] = []
    refused: dict[str, str] = {}
    """For good."""
    later: dict[str, str] = {}
    """To be tried again."""


class ServerAway(DtsError):
    """Nothing was sent to anybody: no connection, no TLS, no login."""

    code = "mail_server_away"


async def deliver(
    settings: SmtpSettings,
    letter: Letter,
    recipients: Sequence[Recipient],
    *,
    origin: str,
    at: datetime,
) -> Outcome:
    """Give the server a message for each recipient, one after the other.

    One that it refuses does not stop the others; once the connection is lost, the rest is for later.

    Raises:
        ServerAway: Nothing was sent. Its message holds no secret.
    """
    password = await asyncio.to_thread(_password, settings)
    veil = _Veil(settings.user, password)
    server = await _connect(settings, password, veil)
    outcome = Outcome()
    try:
        for recipient in recipients:
            message = compose(
                letter, sender=settings.sender, to=recipient.address, origin=origin, at=at
            )
            await _send(server, settings, recipient, message, veil, outcome)
    finally:
        await _part(server)
    return outcome


def _password(settings: SmtpSettings) -> str:
    try:
        return password_of(settings.password_file) if settings.user else ""
    except ConfigError as error:
        raise ServerAway(str(error)) from None


async def _connect(settings: SmtpSettings, password: str, veil: "_Veil") -> aiosmtplib.SMTP:
    security = settings.security
    port = settings.port or PORTS[security]
    name = platform.node()
    try:
        context = await asyncio.to_thread(_trust, settings) if security != "none" else None
        server = aiosmtplib.SMTP(
            hostname=settings.host,
            port=port,
            local_hostname=name if is_host(name) else "localhost",
            timeout=settings.timeout_seconds,
            use_tls=security == "tls",
            start_tls=security == "starttls",
            username=settings.user or None,
            password=password or None,
            tls_context=context,
        )
        async with asyncio.timeout(STEPS * settings.timeout_seconds):
            await server.connect()
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        # Not chained: a server may say our password back in its refusal.
        raise ServerAway(f"{clean(settings.host, 253)}:{port}: {veil.words(error)}") from None
    return server


def _trust(settings: SmtpSettings) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=settings.ca_file or None)


async def _send(
    server: aiosmtplib.SMTP,
    settings: SmtpSettings,
    recipient: Recipient,
    message: EmailMessage,
    veil: "_Veil",
    outcome: Outcome,
) -> None:
    if not server.is_connected:
        outcome.later[recipient.user] = "the connection was lost"
        return
    try:
        async with asyncio.timeout(STEPS * settings.timeout_seconds):
            await server.sendmail(settings.sender, [recipient.address], message.as_bytes())
    except aiosmtplib.SMTPRecipientsRefused as refused:
        _sort(refused.recipients[0], recipient.user, veil, outcome)
    except aiosmtplib.SMTPResponseException as refused:
        _sort(refused, recipient.user, veil, outcome)
    except (aiosmtplib.SMTPException, OSError) as error:
        server.close()
        outcome.later[recipient.user] = veil.words(error)
    else:
        outcome.sent.append(recipient.user)


def _sort(
    refused: aiosmtplib.SMTPResponseException, user: str, veil: "_Veil", outcome: Outcome
) -> None:
    into = outcome.refused if refused.code in _PERMANENT else outcome.later
    into[user] = veil.words(refused)


async def _part(server: aiosmtplib.SMTP) -> None:
    """Say goodbye; whatever the server makes of it, what was sent is sent."""
    try:
        if server.is_connected:
            await server.quit()
    except (aiosmtplib.SMTPException, OSError):
        pass
    finally:
        server.close()


class _Veil:
    """Takes our login out of what a server says."""

    def __init__(self, user: str, password: str) -> None:
        plain = f"\0{user}\0{password}"
        self._secrets = [
            form
            for text in (plain, password)
            for form in (text, base64.b64encode(text.encode()).decode())
            if password
        ]

    def words(self, error: BaseException) -> str:
        """Why, in one printable line without any secret."""
        code = getattr(error, "code", "")
        said = str(getattr(error, "message", "") or error)
        for secret in self._secrets:
            said = said.replace(secret, "***")
        text = " ".join(part for part in (str(code), said.replace("\n", " ")) if part)
        return clean(text or type(error).__name__, WORDS_MAX)
