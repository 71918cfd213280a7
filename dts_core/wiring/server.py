"""A server on RabbitMQ and MongoDB: the API alone; several may stand side by side."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from dts_core.api.app import create_app
from dts_core.services.container import build_services
from dts_core.settings import ServerFile
from dts_core.wiring.mongo import NAME, open_shared
from dts_core.wiring.ports import Control, Waiting, audit_key, plugin_folder
from dts_core.wiring.presence import Presence
from dts_core.wiring.rabbit import submissions

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
    async with AsyncExitStack() as stack:
        shared = await open_shared(stack, settings, settings.server.result_max, waiting)
        ports = shared.ports
        services = build_services(
            ports.store,
            ports.intake,
            ports.broker,
            ports.clock,
            settings.server,
            engine=NAME,
            plugins=plugin_folder(settings.server.plugins, folder),
            audit_key=await asyncio.to_thread(audit_key, folder),
            jobs_prefix=f"{settings.broker.mq.jobs}.",
        )
        await services.start()
        stack.push_async_callback(services.stop)
        presence = Presence(ports.store, ports.clock, ["server"], lambda: shared.line.words)
        taking = await submissions(ports, services, settings.broker.rabbitmq)
        parts = {
            "services": services.watch,
            "presence": presence.run,
            "submissions": taking,
        }
        yield Control(services, create_app(services, settings.server), parts, shared.probe)
