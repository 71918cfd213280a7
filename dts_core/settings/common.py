"""What every process of the control side has."""

from typing import Annotated, Literal

from msgspec import Meta

from dts_core.settings.base import Count, Days, Hours, Settings


class ServerSettings(Settings, frozen=True):
    """`[server]`."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 7117
    insecure: bool = False
    """Allow an address other than loopback without TLS."""
    tls_cert: str = ""
    tls_key: str = ""
    data: str = ""
    """Folder of admin.json, audit.key and the log of a server whose store is MongoDB; empty: the user's own.
    With an embedded store it is the store's folder."""
    plugins: str = ""
    """Folder of an administrator's plugins: modules with a `main`, called as dts/plugin.NAME."""
    token_hours: Hours = 24 * 30
    access_token_days: Days = 366
    """Longest life of an access token."""
    job_cache: Count = 20_000
    """Jobs whose record is kept in memory."""
    body_max: Count = 8 << 20
    """Largest request body; a single submission's arguments are limited to 1 MiB."""
    result_max: Annotated[int, Meta(ge=1, le=64 << 20)] = 16 << 20
    """Largest result of a job, in bytes of JSON; at most 64 MiB."""


class RetentionSettings(Settings, frozen=True):
    """`[retention]`."""

    jobs_days: Days = 30
    logs_days: Days = 7
    logs_bytes: Count = 2 << 30
    samples_hours: Hours = 24
    minutes_days: Days = 30


class LoggingSettings(Settings, frozen=True):
    """`[logging]`: of the part itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    file: str = ""
    """Empty: standard error."""


class SmtpSettings(Settings, frozen=True):
    """`[notify.smtp]`: the mail server; the same in every part of the control side. Without a host mail is off."""

    host: str = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """0: 587 for starttls, 465 for tls, 25 for none."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """starttls and tls are kept to: nothing is sent in clear when the server offers none."""
    ca_file: str = ""
    """Certificates that sign the server's; empty: the system's."""
    user: str = ""
    """Empty: no login."""
    password_file: str = ""
    """File with the password alone, of mode 0600 and this user's."""
    sender: str = ""
    """Address that mail comes from."""
    timeout_seconds: Annotated[float, Meta(gt=0, le=600)] = 20.0
    """Longest wait for any answer of the server."""


class NotifySettings(Settings, frozen=True):
    """`[notify]`: how daemons tell people."""

    mails_max: Annotated[int, Meta(ge=1, le=1_000)] = 10
    """Most mails of one daemon to its groups within a window; what more there is comes as one digest at its end."""
    window_seconds: Annotated[float, Meta(ge=1, le=86_400)] = 600.0
    smtp: SmtpSettings = SmtpSettings()
