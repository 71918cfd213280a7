"""The files: which tables each has."""

from typing import Annotated, Literal

from msgspec import Meta

from dts_core.settings.base import Count, Loop, Seconds, Settings
from dts_core.settings.common import (
    LoggingSettings,
    NotifySettings,
    RetentionSettings,
    ServerSettings,
)
from dts_core.settings.consumers import ConsumersSettings
from dts_core.settings.engines import BrokerSettings, LinkSettings, StoreSettings
from dts_core.settings.hosts import GatewaySettings, RemoteSettings, SetupSettings, ShellSettings
from dts_core.settings.keys import (
    OpeningSettings,
    SealingSettings,
    SigningSettings,
    TrustSettings,
    VaultSettings,
)
from dts_core.settings.worker import AgentSettings, ProberSettings, WorkerSettings


class WorkerFile(Settings, frozen=True):
    """worker.toml."""

    broker: LinkSettings = LinkSettings()
    worker: WorkerSettings = WorkerSettings()
    prober: ProberSettings = ProberSettings()
    agent: AgentSettings = AgentSettings()
    signing: TrustSettings = TrustSettings()
    arguments: OpeningSettings = OpeningSettings()
    logging: LoggingSettings = LoggingSettings()


class ServerFile(Settings, frozen=True):
    """server.toml; on the embedded engine the server runs the daemons too."""

    broker: BrokerSettings = BrokerSettings()
    store: StoreSettings = StoreSettings()
    server: ServerSettings = ServerSettings()
    vault: VaultSettings = VaultSettings()
    signing: SigningSettings = SigningSettings()
    arguments: SealingSettings = SealingSettings()
    consumer: ConsumersSettings = ConsumersSettings()
    notify: NotifySettings = NotifySettings()
    ssh: RemoteSettings = RemoteSettings()
    shell: ShellSettings = ShellSettings()
    setup: SetupSettings = SetupSettings()
    gateway: GatewaySettings = GatewaySettings()
    retention: RetentionSettings = RetentionSettings()
    logging: LoggingSettings = LoggingSettings()
    loop: Loop = "auto"


class DaemonsFile(Settings, frozen=True):
    """daemons.toml."""

    broker: BrokerSettings = BrokerSettings()
    store: StoreSettings = StoreSettings()
    consumer: ConsumersSettings = ConsumersSettings()
    notify: NotifySettings = NotifySettings()
    arguments: OpeningSettings = OpeningSettings()
    vault: VaultSettings = VaultSettings()
    ssh: RemoteSettings = RemoteSettings()
    setup: SetupSettings = SetupSettings()
    gateway: GatewaySettings = GatewaySettings()
    retention: RetentionSettings = RetentionSettings()
    logging: LoggingSettings = LoggingSettings()
    plugins: str = ""
    result_max: Annotated[int, Meta(ge=1, le=64 << 20)] = 16 << 20
    """Largest result of a job, in bytes of JSON; the same as [server] result_max."""
    loop: Loop = "auto"


class TuiSettings(Settings, frozen=True):
    """`[console]`."""

    theme: Literal["dark", "light", "contrast", "colourblind"] = "dark"
    refresh_seconds: Seconds = 1.0
    ascii: bool = False
    mouse: bool = True
    log_lines: Count = 10_000
    read_only: bool = False
    start: str = "wall"
    """Area that opens first."""


class TuiFile(Settings, frozen=True):
    """tui.toml."""

    console: TuiSettings = TuiSettings()
    keys: dict[str, str] = {}
    """action -> key"""
