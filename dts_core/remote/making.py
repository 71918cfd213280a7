"""From `[ssh]` and `[setup]` to what the SSH library is told."""

from pathlib import Path
from typing import TYPE_CHECKING

from dts_core.settings import RemoteSettings, SetupSettings
from dts_core.ssh.settings import SshSettings

if TYPE_CHECKING:
    from dts_core.ssh.calls import CallSettings

__all__ = ["cache_of", "given_of", "pool_settings"]


def pool_settings(settings: RemoteSettings) -> "tuple[SshSettings, CallSettings]":
    """Limits of the pool, and of the interpreters over it. Loads the SSH library."""
    from dts_core.ssh.calls import CallSettings

    pool = SshSettings(
        kept_max=settings.connections_max,
        idle_seconds=settings.idle_seconds,
        logins_max=settings.logins_max,
        logins_per_door=settings.logins_per_door,
        connect_seconds=settings.connect_seconds,
        login_seconds=settings.login_seconds,
        prompt_seconds=settings.prompt_seconds,
        keepalive_seconds=settings.keepalive_seconds,
    )
    calls = CallSettings(
        per_host=settings.interpreters_per_host,
        kept_max=settings.connections_max,
        idle_seconds=min(settings.idle_seconds, CallSettings().idle_seconds),
    )
    return pool, calls


def cache_of(settings: SetupSettings) -> Path:
    """Where wheels for hosts are kept here."""
    if settings.cache:
        return Path(settings.cache).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("dts", appauthor=False)) / "setup"


def given_of(settings: SetupSettings) -> Path | None:
    """The folder of wheels that are taken first."""
    return Path(settings.wheels).expanduser() if settings.wheels else None
