"""Whether mail can go out: settings, password file, and a server that answers. Nothing is sent."""

import asyncio
import contextlib

from dts_core.doctor.findings import Finding, ok, problem
from dts_core.errors import ConfigError
from dts_core.services.mail import PORTS, check_smtp, password_of
from dts_core.settings import SmtpSettings
from dts_core.text import clean

__all__ = ["check_mail"]

CONNECT_SECONDS = 5.0


async def check_mail(settings: SmtpSettings) -> list[Finding]:
    """What was found of `[notify.smtp]`; never the password."""
    if not settings.host:
        return [ok("mail", "mail is off: alarms are shown in the console alone")]
    try:
        check_smtp(settings)
        if settings.user:
            await asyncio.to_thread(password_of, settings.password_file)
    except ConfigError as error:
        return [problem("mail", error.message, error.advice)]
    port = settings.port or PORTS[settings.security]
    where = f"{clean(settings.host, 253)}:{port}"
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(settings.host, port)
    except (OSError, TimeoutError) as error:
        why = clean(str(error) or f"no answer within {CONNECT_SECONDS:g} s", 200)
        return [problem("mail", f"{where} cannot be reached: {why}", "Check host and port.")]
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    found = f"{where} answers, {settings.security}, mail from {clean(settings.sender, 254)}"
    return [ok("mail", f"{found}; `dts admin mail test` sends one")]
