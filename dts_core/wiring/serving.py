"""The services of a server as its server.toml says, started; the same however its store and broker were opened."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from dts_core.remote import Remotes
from dts_core.remote.terminals import Terminals
from dts_core.sealed import Sealer
from dts_core.services.building import ServiceOptions, build_services
from dts_core.services.container import Services
from dts_core.services.counters import Counters
from dts_core.services.parts import Components
from dts_core.settings import ServerFile
from dts_core.signing import Signer
from dts_core.vault import Vault
from dts_core.wiring.ports import Ports, audit_key, plugin_folder
from dts_core.wiring.vault import secret_files, ssh_keys

__all__ = ["Keys", "Process", "open_services"]


class Keys(NamedTuple):
    """What a server seals and signs with; see ServiceOptions."""

    vault: Vault | None
    signer: Signer | None
    sealer: Sealer | None


class Process(NamedTuple):
    """What else is in the process."""

    engine: str
    counters: Counters
    components: Components


async def open_services(
    stack: AsyncExitStack,
    folder: Path,
    settings: ServerFile,
    ports: Ports,
    keys: Keys,
    process: Process,
) -> tuple[Services, Remotes]:
    """The services, and the sessions with hosts that their shells use; closed with the stack.

    Args:
        stack: Of the server.
        folder: Of what is this server's own: the audit's key, plugins.
        settings: server.toml.
        ports: Open.
        keys: As the kind of server has them.
        process: What the status and `/metrics` tell beside.

    Raises:
        ConfigError: See `build_services`.
    """
    options = ServiceOptions(
        engine=process.engine,
        counters=process.counters,
        components=process.components,
        plugins=plugin_folder(settings.server.plugins, folder),
        audit_key=await asyncio.to_thread(audit_key, folder),
        jobs_prefix=f"{settings.broker.mq.jobs}.",
        vault=keys.vault,
        secret_files=secret_files(settings.vault),
        ssh_keys=ssh_keys,
        notify=settings.notify,
        signer=keys.signer,
        sealer=keys.sealer,
        envelopes=keys.signer if settings.signing.jobs else None,
        setup=settings.setup,
        link=settings.broker,
        shell=settings.shell,
    )
    services = build_services(
        ports.store, ports.intake, ports.broker, ports.clock, settings.server, options
    )
    await services.start()
    stack.push_async_callback(services.stop)
    remotes = await stack.enter_async_context(Remotes(services, settings.ssh))
    services.shells.reach = Terminals(services, remotes)
    return services, remotes
