"""The services of one server, put together; `wiring` gives them their store, broker and clock."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dts_core.brokers.base import JOBS, Broker
from dts_core.clock import Clock
from dts_core.errors import DtsError
from dts_core.sealed import Sealer
from dts_core.services.admin import AdminWriter
from dts_core.services.builtins import Builtins
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
from dts_core.stores.base import Intake, Store
from dts_core.vault import SecretFiles, Vault

SWEEP_SECONDS: Final = 3600.0
LAG_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)


@dataclass
class Services:
    """Every use case, by noun. `start` before the first request, `drain` before the server stops, `stop` after."""

    jobs: Jobs
    functions: Functions
    deploys: Deploys
    signing: Signing
    namespaces: Namespaces
    users: Users
    vhosts: Vhosts
    host_trust: HostTrust
    remote_calls: RemoteCalls
    host_runs: HostRuns
    questions: Questions
    setups: Setups
    shells: Shells
    vault: VaultKeys
    sessions: Sessions
    tokens: Tokens
    operations: Operations
    hosts: Hosts
    logs: Logs
    queues: Queues
    dead_letters: DeadLetters
    drains: Drains
    status: Status
    mail: Mail
    stream: StreamHub
    writer: AdminWriter
    bus: EventBus
    counters: Counters
    store: Store
    broker: Broker
    clock: Clock
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Begin to hear what other parts announce, and to tell followers."""
        await self.bus.start()
        await self.stream.start()
        await self.queues.start()
        for name, work in (
            ("stream", self.stream.run()),
            ("tokens", self._sweep()),
            ("drains", self.drains.keep()),
            ("lag", self._measure_lag()),
        ):
            task = asyncio.create_task(work, name=f"services-{name}")
            task.add_done_callback(_report)
            self._tasks.append(task)

    async def watch(self) -> None:
        """Wait until background work ends, which it should not: for whoever then ends the process.

        Raises:
            Exception: What ended it.
        """
        ended, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()

    def drain(self) -> None:
        """Let everybody go who waits: long polls are answered, streams end. Call it before the server closes."""
        self.jobs.waiters.close()
        self.stream.close()
        self.shells.close()

    async def stop(self) -> None:
        """End background work. Store and broker stay open. A second call does nothing."""
        self.drain()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.stream.stop()
        await self.bus.stop()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sessions.sweep()
                await self.questions.sweep()
            except DtsError as error:
                _log.info("expired tokens stay until the next sweep: %s", error)

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            asleep = loop.time()
            await asyncio.sleep(LAG_SECONDS)
            lag = max(0.0, loop.time() - asleep - LAG_SECONDS)
            self.counters.put("dts_loop_lag_seconds", round(lag, 6))


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("%s ended: %r", task.get_name(), error, exc_info=error)


def _nothing() -> Mapping[str, str]:
    return {}


def _no_keys() -> SshKeys:
    raise RuntimeError("nothing here reads SSH keys")


def build_services(
    store: Store,
    intake: Intake,
    broker: Broker,
    clock: Clock,
    settings: ServerSettings,
    *,
    engine: str = "embedded",
    counters: Counters | None = None,
    components: Components = _nothing,
    plugins: Path | None = None,
    audit_key: bytes = b"",
    jobs_prefix: str = JOBS,
    vault: Vault | None = None,
    secret_files: SecretFiles | None = None,
    ssh_keys: Callable[[], SshKeys] = _no_keys,
    notify: NotifySettings | None = None,
    signer: Signer | None = None,
    sealer: Sealer | None = None,
    envelopes: Signer | None = None,
    setup: SetupSettings | None = None,
    link: BrokerSettings | None = None,
    shell: ShellSettings | None = None,
) -> Services:
    """Put the services together; nothing runs yet.

    Args:
        store: Where everything is kept.
        intake: Where jobs and their messages become durable together.
        broker: Queues and fanouts.
        clock: The time.
        settings: `[server]`.
        engine: Name of the engine, shown in the status.
        counters: Shared with the daemons of the same process, for `/metrics`.
        components: part -> its state in words, for the status; asked anew each time.
        plugins: Folder of the administrator's plugins; None: that of the settings, when there is one.
        audit_key: Key of the hashes that stand for secrets in operations; random when empty.
        jobs_prefix: With which the names of queues of jobs begin, as configured.
        vault: Seals the secrets of virtual hosts; None where there is no key file: none are taken.
        secret_files: Secrets that virtual hosts name instead of storing them.
        ssh_keys: Makes the reader of SSH keys, at its first use.
        notify: `[notify]`; None: mail is off.
        signer: Signs versions of functions; None: where none are written, or nothing is signed.
        sealer: Seals secret arguments of jobs; None: none are taken.
        envelopes: Signs the envelopes of jobs; None: they are not signed.
        setup: `[setup]`; None: its defaults.
        link: `[broker]`, which hosts that are set up shall reach; None: they cannot.
        shell: `[shell]`; None: its defaults.

    Raises:
        ConfigError: `[notify.smtp]` cannot be used as it is.
    """
    folder = plugins or (Path(settings.plugins).expanduser() if settings.plugins else None)
    builtins = Builtins(plugins=folder)
    ports = _job_ports(
        store, intake, broker, clock, settings,
        counters=counters or Counters(), builtins=builtins, audit_key=audit_key,
        sealer=sealer, envelopes=envelopes,
    )  # fmt: skip
    bus, writer = ports.bus, ports.writer
    directory = Directory(store, clock, bus)
    passwords = Passwords.for_this_system()
    sessions = Sessions(
        store, clock, bus, writer, passwords, directory, token_hours=settings.token_hours
    )
    mail = Mail(store, clock, notify or NotifySettings())
    jobs = Jobs(ports)
    queues = Queues(store, broker, clock, writer, prefix=jobs_prefix)
    parts = Parts(store, queues.stats, clock, components)
    functions = Functions(store, broker, clock, writer, directory, builtins, signer)
    runs = HostRuns(store, jobs)
    vhosts = Vhosts(store, clock, writer, vault, secret_files or SecretFiles(None), ssh_keys)
    signing = Signing(store, writer, signer)
    setups = Setups(
        vhosts, jobs, writer, signing, setup or SetupSettings(), link or BrokerSettings()
    )
    return Services(
        jobs=jobs,
        functions=functions,
        deploys=Deploys(store, functions, jobs, writer),
        signing=signing,
        namespaces=Namespaces(store, clock, writer),
        users=Users(store, clock, writer, passwords),
        vhosts=vhosts,
        host_trust=HostTrust(store, clock, vhosts, jobs, writer, bus, mail),
        remote_calls=RemoteCalls(store, functions, ports.targets, jobs, writer, runs, setups),
        host_runs=runs,
        questions=Questions(store, clock, writer, bus, runs),
        setups=setups,
        shells=Shells(vhosts, writer, clock, shell or ShellSettings()),
        vault=VaultKeys(store, writer, vault, [(VHOSTS, sorted(VHOSTS.secret))]),
        sessions=sessions,
        tokens=Tokens(
            store, clock, writer, directory, sessions, days_max=settings.access_token_days
        ),
        operations=Operations(store, clock, writer.chain),
        hosts=Hosts(store, clock),
        logs=Logs(store),
        queues=queues,
        dead_letters=DeadLetters(broker, writer),
        drains=Drains(store, broker, clock, writer),
        status=Status(store, jobs, queues, parts, clock, engine=engine, mail=mail.words),
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
    return Jobs(
        _job_ports(
            store, intake, broker, clock, settings,
            counters=Counters(), builtins=Builtins(), audit_key=b"",
        )
    )  # fmt: skip


def _job_ports(
    store: Store, intake: Intake, broker: Broker, clock: Clock, settings: ServerSettings, *,
    counters: Counters, builtins: Builtins, audit_key: bytes, sealer: Sealer | None = None,
    envelopes: Signer | None = None,
) -> JobPorts:  # fmt: skip
    bus = EventBus(broker, counters)
    return JobPorts(
        store=store,
        intake=intake,
        broker=broker,
        clock=clock,
        bus=bus,
        writer=AdminWriter(store, clock, bus, counters, audit_key),
        targets=Targets(store, clock, bus, builtins),
        cache=JobCache(clock, counters, settings.job_cache),
        counters=counters,
        result_max=settings.result_max,
        sealer=sealer,
        envelopes=envelopes,
    )
