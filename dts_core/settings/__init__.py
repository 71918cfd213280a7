"""The settings of every part: names, units, defaults, bounds. `config.py` fills them from file and environment.

Durations are seconds, sizes bytes, shares 0..1. One Struct a table of the TOML files; unknown keys are errors.
"""

from dts_core.settings.base import (
    Count,
    Days,
    Hours,
    Loop,
    Seconds,
    Settings,
    Share,
    Url,
    masked,
    secrecy,
)
from dts_core.settings.common import (
    LoggingSettings,
    NotifySettings,
    RetentionSettings,
    ServerSettings,
    SmtpSettings,
)
from dts_core.settings.consumers import (
    ConsumerSettings,
    ConsumersSettings,
    InternalSettings,
    LogtracerSettings,
    PorterSettings,
    SchedulerSettings,
    StethoscopeSettings,
)
from dts_core.settings.engines import (
    BrokerSettings,
    LinkSettings,
    QueueNames,
    RabbitSettings,
    StoreSettings,
    TlsSettings,
)
from dts_core.settings.files import DaemonsFile, ServerFile, TuiFile, TuiSettings, WorkerFile
from dts_core.settings.hosts import GatewaySettings, RemoteSettings, SetupSettings, ShellSettings
from dts_core.settings.keys import (
    OpeningSettings,
    SealingSettings,
    SigningSettings,
    TrustSettings,
    VaultSettings,
)
from dts_core.settings.worker import (
    AgentSettings,
    EnvironmentSettings,
    ProberSettings,
    WorkerSettings,
)

__all__ = [
    "AgentSettings",
    "BrokerSettings",
    "ConsumerSettings",
    "ConsumersSettings",
    "Count",
    "DaemonsFile",
    "Days",
    "EnvironmentSettings",
    "GatewaySettings",
    "Hours",
    "InternalSettings",
    "LinkSettings",
    "LoggingSettings",
    "LogtracerSettings",
    "Loop",
    "NotifySettings",
    "OpeningSettings",
    "PorterSettings",
    "ProberSettings",
    "QueueNames",
    "RabbitSettings",
    "RemoteSettings",
    "RetentionSettings",
    "SchedulerSettings",
    "SealingSettings",
    "Seconds",
    "ServerFile",
    "ServerSettings",
    "Settings",
    "SetupSettings",
    "Share",
    "ShellSettings",
    "SigningSettings",
    "SmtpSettings",
    "StethoscopeSettings",
    "StoreSettings",
    "TlsSettings",
    "TrustSettings",
    "TuiFile",
    "TuiSettings",
    "Url",
    "VaultSettings",
    "WorkerFile",
    "WorkerSettings",
    "masked",
    "secrecy",
]
