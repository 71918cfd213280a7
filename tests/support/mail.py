"""A mail server in this loop that keeps what it takes: aiosmtpd, with TLS, logins and scripted refusals."""

import asyncio
import email
import ssl
import warnings
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from dts_core.settings import NotifySettings, SmtpSettings
from tests.support.certificates import Authority

HOST = "127.0.0.1"
SENDER = "dts@control.example.org"
USER = "dts"
PASSWORD = "a canary \N{LATIN SMALL LETTER E WITH ACUTE}/of+secrets"


class Taken(NamedTuple):
    """One message as it came."""

    sender: str
    to: list[str]
    raw: bytes
    was_encrypted: bool
    was_logged_in: bool

    @property
    def message(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.raw, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        content: str = self.message.get_content()
        return content.replace("\r\n", "\n").rstrip("\n")


class Sink:
    """Takes mail.

    Args:
        folder: For its certificate and password file.
        security: As `[notify.smtp]` has it.
        login: Whether it asks for one.
    """

    def __init__(self, folder: Path, *, security: str = "none", login: bool = False) -> None:
        self.taken: list[Taken] = []
        self.refusals: dict[str, list[str]] = {}
        """address -> replies to its next RCPTs; then it is taken."""
        self.data_replies: list[str] = []
        """Replies to the next messages; then they are taken."""
        self.login_reply = ""
        self.sessions = 0
        self._security = security
        self._login = login
        self._server: asyncio.Server | None = None
        self._transports: list[SMTP] = []
        self.port = 0
        self.authority = Authority(folder)
        certificate, key = self.authority.server(HOST)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self.password_file = folder / "smtp.password"
        self.password_file.write_text(f"{PASSWORD}\n")
        self.password_file.chmod(0o600)

    @property
    def smtp(self) -> SmtpSettings:
        return SmtpSettings(
            host=HOST,
            port=self.port,
            security=self._security,  # type: ignore[arg-type]
            ca_file="" if self._security == "none" else str(self.authority.file),
            user=USER if self._login else "",
            password_file=str(self.password_file) if self._login else "",
            sender=SENDER,
            timeout_seconds=20,
        )

    @property
    def settings(self) -> NotifySettings:
        return NotifySettings(smtp=self.smtp)

    @property
    def subjects(self) -> list[str]:
        return [each.subject for each in self.taken]

    async def start(self) -> None:
        """Listen; again on the same port after `stop`."""
        loop = asyncio.get_running_loop()
        tls = self._context if self._security == "tls" else None
        self._server = await loop.create_server(self._session, HOST, self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in self._transports:
            if session.transport is not None:
                session.transport.close()
        handlers = [each._handler_coroutine for each in self._transports]
        self._transports.clear()
        waiting = [each for each in handlers if each is not None and not each.done()]
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    def _session(self) -> SMTP:
        self.sessions += 1
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # it warns of logins without TLS, which one test is about
            session = SMTP(
                self,
                hostname="sink.example.org",
                tls_context=self._context if self._security == "starttls" else None,
                require_starttls=self._security == "starttls",
                auth_required=self._login,
                auth_require_tls=self._security == "starttls",
                authenticator=self._authenticate,
                loop=asyncio.get_running_loop(),
            )
        self._transports.append(session)
        return session

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        given = isinstance(data, LoginPassword) and (data.login, data.password)
        if given == (USER.encode(), PASSWORD.encode()) and not self.login_reply:
            return AuthResult(success=True)
        return AuthResult(success=False, handled=False, message=self.login_reply or None)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if replies := self.refusals.get(address):
            return replies.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.data_replies:
            reply = self.data_replies.pop(0)
            if reply == "cut":
                assert isinstance(server.transport, asyncio.WriteTransport)
                server.transport.abort()
            return reply
        assert isinstance(envelope.original_content, bytes)
        self.taken.append(
            Taken(
                str(envelope.mail_from),
                list(envelope.rcpt_tos),
                envelope.original_content,
                session.ssl is not None or self._security == "tls",
                bool(session.authenticated),
            )
        )
        return "250 taken"
