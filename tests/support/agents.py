"""Workers that are launched over SSH, in tests."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dts_core.brokers.link_policy import Pass
from dts_core.brokers.link_session import Session
from dts_core.errors import DtsError
from dts_core.places import PUBLIC_KEYS
from dts_core.ssh.launch import Launched, launch
from dts_core.ssh.pool import Sessions
from dts_core.ssh.target import Target
from tests.support.worker_road import Road

ROOT = Path(__file__).resolve().parents[2]


def worker_command(data: Path, *settings: str) -> list[str]:
    """What starts this repository's worker, wherever it is started; its name and host come behind it."""
    return [
        "env", f"--chdir={ROOT}", f"PYTHONPATH={ROOT}", "DTS_PROBER_INTERVAL_SECONDS=0.2",
        "DTS_WORKER_DRAIN_SECONDS=5", *settings,
        sys.executable, "-m", "dts_worker.cli", "--data", str(data), "--slots", "2",
    ]  # fmt: skip


def agent_command(road: Road, own: Pass) -> list[str]:
    """The whole line for one worker of a road."""
    keys = f"DTS_SIGNING_PUBLIC_KEYS_FILE={road.folder / PUBLIC_KEYS}"
    command = worker_command(road.folder / f"far-{own.worker}", keys)
    return [*command, "--url", "link+stdio:", "--host", own.host, "--name", own.worker]


class Agent:
    """A launched worker and what serves it."""

    def __init__(self, launched: Launched, serving: "asyncio.Task[str]") -> None:
        self.launched = launched
        self.serving = serving
        self.sessions: list[Session] = []
        self.forbidden: list[DtsError] = []


@asynccontextmanager
async def launched_on(
    road: Road, sessions: Sessions, target: Target, own: Pass
) -> AsyncIterator[Agent]:
    """A worker over SSH for the length of a block, linked to the road's owner."""
    async with (
        sessions.session(target) as session,
        launch(session, agent_command(road, own)) as launched,
    ):
        found: list[Session] = []
        forbidden: list[DtsError] = []
        serving = asyncio.ensure_future(
            road.server.serve_launched(
                launched.reader,
                launched.writer,
                own,
                on_session=found.append,
                on_forbidden=forbidden.append,
            )
        )
        agent = Agent(launched, serving)
        agent.sessions, agent.forbidden = found, forbidden
        try:
            yield agent
        finally:
            for each in found:
                each.dismiss("the test is over.")
            await asyncio.wait((serving,), timeout=60)
