"""The services of one server, put together; `wiring` gives them their store, broker and clock."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from dts_core.brokers.base import JOBS, Broker
from dts_core.clock import Clock
from dts_core.sealed import Sealer
from dts_core.services.admin import AdminWriter
from dts_core.services.builtins import Builtins
from dts_core.services.cancelling import Cancelling
from dts_core.services.container import Services
from dts_core.services.counters import Counters
from dts_core.services.deadletters import DeadLetters
from dts_core.services.deploys import Deploys
from dts_core.services.directory import Directory
from dts_core.services.drains import Drains
from dts_core.services.events import EventBus
from dts_core.services.functions import Functions
from dts_core.services.hostruns import HostRuns
from dts_core.services.hosts import Hosts
from dts_core.services.hosttrust import HostTrust
from dts_core.services.jobcache import JobCache
from dts_core.services.jobs import JobPorts, Jobs
from dts_core.services.logs import Logs
from dts_core.services.mail import Mail
from dts_core.services.namespaces import Namespaces
from dts_core.services.operations import Operations
from dts_core.services.parts import Components, Parts
from dts_core.services.passwords import Passwords
from dts_core.services.questions import Questions
from dts_core.services.queues import Queues
from dts_core.services.remotecalls import RemoteCalls
from dts_core.services.sessions import Sessions
from dts_core.services.setups import Setups
from dts_core.services.shells import Shells
from dts_core.services.signing import Signing
from dts_core.services.status import Status
from dts_core.services.stream import StreamHub
from dts_core.services.targets import Targets
from dts_core.services.tokens import Tokens
from dts_core.services.users import Users
from dts_core.services.vaultkeys import VaultKeys
from dts_core.services.vhosts import VHOSTS, Vhosts
from dts_core.settings import (
    BrokerSettings,
    NotifySettings,
    ServerSettings,
    SetupSettings,
    ShellSettings,
)
from dts_core.signing import Signer
from dts_core.ssh.base import SshKeys
from dts_core.stores.base import Store
from dts_core.stores.jobstore import Intake
from dts_core.vault import SecretFiles, Vault

__all__ = ["ServiceOptions", "build_jobs", "build_services"]


def _nothing() -> Mapping[str, str]:
    return {}


def _no_keys() -> SshKeys:
    raise RuntimeError("nothing here reads SSH keys")


@dataclass(frozen=True, kw_only=True)
class ServiceOptions:
    """What services have beside their store, broker and clock: keys, further settings, what else is in the process."""

    engine: str = "embedded"
    """Its name, shown in the status."""
    counters: Counters = field(default_factory=Counters)
    """Shared with the daemons of the same process, for `/metrics`."""
    components: Components = _nothing
    """part -> its state in words, for the status; asked anew each time."""
    plugins: Path | None = None
    """Folder of the administrator's plugins; None: that of the settings, when there is one."""
    audit_key: bytes = b""
    """Of the hashes that stand for secrets in operations; random when empty."""
    jobs_prefix: str = JOBS
    """With which the names of queues of jobs begin, as configured."""
    vault: Vault | None = None
    """Seals the secrets of virtual hosts; None where there is no key file: none are taken."""
    secret_files: SecretFiles = field(default_factory=lambda: SecretFiles(None))
    """Secrets that virtual hosts name instead of storing them."""
    ssh_keys: Callable[[], SshKeys] = _no_keys
    """Makes the reader of SSH keys, at its first use."""
    notify: NotifySettings = field(default_factory=NotifySettings)
    """`[notify]`; by default mail is off."""
    signer: Signer | None = None
    """Signs versions of functions; None: where none are written, or nothing is signed."""
    sealer: Sealer | None = None
    """Seals secret arguments of jobs; None: none are taken."""
    envelopes: Signer | None = None
    """Signs the envelopes of jobs; None: they are not signed."""
    setup: SetupSettings = field(default_factory=SetupSettings)
    """`[setup]`"""
    link: BrokerSettings = field(default_factory=BrokerSettings)
    """`[broker]`, which hosts that are set up shall reach; by default they cannot."""
    shell: ShellSettings = field(default_factory=ShellSettings)
    """`[shell]`"""


def build_services(
    store: Store,
    intake: Intake,
    broker: Broker,
    clock: Clock,
    settings: ServerSettings,
    options: ServiceOptions | None = None,
) -> Services:
    """Put the services together; nothing runs yet.

    Args:
        store: Where everything is kept.
        intake: Where jobs and their messages become durable together.
        broker: Queues and fanouts.
        clock: The time.
        settings: `[server]`.
        options: What they have beside.

    Raises:
        ConfigError: `[notify.smtp]` cannot be used as it is.
    """
    options = options or ServiceOptions()
    folder = Path(settings.plugins).expanduser() if settings.plugins else None
    builtins = Builtins(plugins=options.plugins or folder)
    ports = _job_ports(store, intake, broker, clock, settings, builtins, options)
    bus, writer = ports.bus, ports.writer
    jobs, mail = Jobs(ports), Mail(store, clock, options.notify)
    directory = Directory(store, clock, bus)
    functions = Functions(store, broker, clock, writer, directory, builtins, options.signer)
    queues = Queues(store, broker, clock, writer, prefix=options.jobs_prefix)
    parts = Parts(store, queues.stats, clock, options.components)
    return Services(
        jobs=jobs,
        cancelling=Cancelling(store, broker, clock, bus, ports.counters, jobs),
        functions=functions,
        deploys=Deploys(store, functions, jobs, writer),
        **_people(ports, directory, settings),
        **_far_hosts(ports, jobs, functions, mail, options),
        operations=Operations(store, clock, writer.chain),
        hosts=Hosts(store, clock),
        logs=Logs(store),
        queues=queues,
        dead_letters=DeadLetters(broker, writer),
        drains=Drains(store, broker, clock, writer),
        status=Status(store, jobs, queues, parts, clock, engine=options.engine, mail=mail.words),
        mail=mail,
        stream=StreamHub(store, broker, clock, bus, ports.counters),
        writer=writer,
        bus=bus,
        counters=ports.counters,
        store=store,
        broker=broker,
        clock=clock,
    )


def build_jobs(
    store: Store, intake: Intake, broker: Broker, clock: Clock, *, result_max: int
) -> Jobs:
    """What submits jobs, for a daemon that needs nothing else. Nothing runs, nothing is heard."""
    settings = ServerSettings(job_cache=1, result_max=result_max)
    options = ServiceOptions()
    return Jobs(_job_ports(store, intake, broker, clock, settings, Builtins(), options))


def _job_ports(
    store: Store, intake: Intake, broker: Broker, clock: Clock, settings: ServerSettings,
    builtins: Builtins, options: ServiceOptions,
) -> JobPorts:  # fmt: skip
    counters = options.counters
    bus = EventBus(broker, counters)
    return JobPorts(
        store=store,
        intake=intake,
        broker=broker,
        clock=clock,
        bus=bus,
        writer=AdminWriter(store, clock, bus, counters, options.audit_key),
        targets=Targets(store, clock, bus, builtins),
        cache=JobCache(clock, counters, settings.job_cache),
        counters=counters,
        result_max=settings.result_max,
        sealer=options.sealer,
        envelopes=options.envelopes,
    )


class _People(TypedDict):
    namespaces: Namespaces
    users: Users
    sessions: Sessions
    tokens: Tokens


def _people(ports: JobPorts, directory: Directory, settings: ServerSettings) -> _People:
    """Who there is, and how they come in."""
    store, clock, writer = ports.store, ports.clock, ports.writer
    passwords = Passwords.for_this_system()
    sessions = Sessions(
        store, clock, ports.bus, writer, passwords, directory, token_hours=settings.token_hours
    )
    days = settings.access_token_days
    return {
        "namespaces": Namespaces(store, clock, writer),
        "users": Users(store, clock, writer, passwords),
        "sessions": sessions,
        "tokens": Tokens(store, clock, writer, directory, sessions, days_max=days),
    }


class _FarHosts(TypedDict):
    vhosts: Vhosts
    host_trust: HostTrust
    host_runs: HostRuns
    remote_calls: RemoteCalls
    questions: Questions
    setups: Setups
    shells: Shells
    signing: Signing
    vault: VaultKeys


def _far_hosts(
    ports: JobPorts, jobs: Jobs, functions: Functions, mail: Mail, options: ServiceOptions
) -> _FarHosts:
    """Virtual hosts, what goes there by SSH, and the keys that this takes."""
    store, clock, writer, bus = ports.store, ports.clock, ports.writer, ports.bus
    vault = options.vault
    vhosts = Vhosts(store, clock, writer, vault, options.secret_files, options.ssh_keys)
    signing = Signing(store, writer, options.signer)
    setups = Setups(vhosts, jobs, writer, signing, options.setup, options.link)
    runs = HostRuns(store, jobs)
    return {
        "vhosts": vhosts,
        "host_trust": HostTrust(store, clock, vhosts, jobs, writer, bus, mail),
        "host_runs": runs,
        "remote_calls": RemoteCalls(store, functions, ports.targets, jobs, writer, runs, setups),
        "questions": Questions(store, clock, writer, bus, runs),
        "setups": setups,
        "shells": Shells(store, vhosts, writer, clock, options.shell),
        "signing": signing,
        "vault": VaultKeys(store, writer, vault, [(VHOSTS, sorted(VHOSTS.secret))]),
    }
