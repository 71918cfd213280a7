"""A server on RabbitMQ and MongoDB: the API alone; several may stand side by side."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from dts_core.api.app import create_app
from dts_core.services.counters import Counters
from dts_core.settings import ServerFile
from dts_core.wiring.arguments import sealer_of
from dts_core.wiring.mongo import NAME, open_shared
from dts_core.wiring.ports import Control, Waiting
from dts_core.wiring.presence import Presence
from dts_core.wiring.rabbit import submissions
from dts_core.wiring.serving import Keys, Process, open_services
from dts_core.wiring.signing import named_signer, shared_signer
from dts_core.wiring.vault import open_vault

__all__ = ["open_server"]


@asynccontextmanager
async def open_server(
    folder: Path, settings: ServerFile, waiting: Waiting
) -> AsyncIterator[Control]:
    """Open it, once store and broker are there.

    Args:
        folder: Of what is this server's own: the audit's key, admin.json.
        settings: server.toml.
        waiting: Ends the wait.

    Raises:
        Stopped: The process was asked to stop meanwhile.
        ConfigError: See `open_shared`.
    """
    vault = await asyncio.to_thread(open_vault, settings.vault, folder, is_shared=True)
    signer = shared_signer(
        await asyncio.to_thread(named_signer, settings.signing), jobs=settings.signing.jobs
    )
    sealer = await asyncio.to_thread(sealer_of, settings.arguments)
    async with AsyncExitStack() as stack:
        shared = await open_shared(stack, settings, settings.server.result_max, waiting)
        ports = shared.ports
        process = Process(NAME, Counters(), dict)
        keys = Keys(vault, signer, sealer)
        services, _ = await open_services(stack, folder, settings, ports, keys, process)
        presence = Presence(
            ports.store,
            ports.clock,
            ["server"],
            lambda: shared.line.words,
            signing="" if signer is None else signer.public.id,
            sealing=() if sealer is None else sealer.names,
        )
        taking = await submissions(ports, services, settings.broker.rabbitmq)
        parts = {
            "services": services.watch,
            "presence": presence.run,
            "submissions": taking,
        }
        yield Control(services, create_app(services, settings.server), parts, shared.probe)
