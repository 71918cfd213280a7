"""The HTTP application on a real store and broker of its own, without sockets."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
from litestar import Litestar

from dts_core.api.app import create_app
from dts_core.brokers.base import (
    HEARTBEATS,
    JOBS,
    LOGS,
    REQUESTS,
    RESULTS,
    ClaimRequest,
    QueueKind,
    QueueSpec,
)
from dts_core.brokers.embedded import EmbeddedBroker
from dts_core.clock import Clock, SystemClock
from dts_core.model import Change, Job, JobError, Transition
from dts_core.schema import MIGRATIONS, SCHEMA
from dts_core.sealed import Sealer
from dts_core.services.building import ServiceOptions, build_services
from dts_core.services.claims import Claims
from dts_core.services.container import Services
from dts_core.services.users import LOCAL, USERS
from dts_core.settings import ServerSettings, VaultSettings
from dts_core.signing import Signer
from dts_core.sqlite import Database, prepare
from dts_core.states import JobEvent
from dts_core.stores.embedded import EmbeddedIntake, EmbeddedStore
from dts_core.wiring.vault import open_vault, ssh_keys

SECRET = "a secret of eight"
NOOP = "def main() -> None:\n    pass\n"
ADD = "def main(a: int, b: int = 1) -> int:\n    return a + b\n"
ROLES = ("viewer", "submitter", "operator", "admin")


class CountingStore(EmbeddedStore):
    """Remembers which reads of single jobs were made."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)
        self.reads: list[str] = []

    async def get_job(self, job_id: str) -> Job | None:
        self.reads.append(job_id)
        return await super().get_job(job_id)


@dataclass
class Server:
    """One application with everything below it."""

    app: Litestar
    services: Services
    store: CountingStore
    broker: EmbeddedBroker
    database: Database
    clock: Clock
    http: httpx.AsyncClient
    tokens: dict[str, str] = field(default_factory=dict)

    async def call(
        self, method: str, path: str, user: str = "root", **options: Any
    ) -> httpx.Response:
        """One request with the user's token; a user of ROLES, or `ann` or `bob`, is made at the first."""
        headers = dict(options.pop("headers", {}))
        if user:
            headers["Authorization"] = f"Bearer {await self.token(user)}"
        return await self.http.request(method, path, headers=headers, **options)

    async def token(self, user: str) -> str:
        """The user's token; the user is made when it is not there."""
        if user not in self.tokens:
            role = {"root": "admin"}.get(user, user if user in ROLES else "submitter")
            await self.services.users.create(LOCAL, {"_id": user, "role": role, "secret": SECRET})
            self.tokens[user] = await self.issue(user)
        return self.tokens[user]

    async def issue(self, user: str, hours: float = 1.0) -> str:
        """A further token, without a login: hashing and throttling have tests of their own."""
        known = await USERS.load(self.store, user)
        return (await self.services.sessions.issue(known, hours, LOCAL)).token

    async def namespace(self, name: str = "sample", **members: str) -> None:
        """A namespace; without members, everybody is a submitter there."""
        everybody = {"*": "submitter"}
        await self.services.namespaces.create(
            LOCAL, {"_id": name, "members": dict(members) or everybody}
        )

    async def function(self, function: str = "sample/noop", source: str = NOOP) -> str:
        """A function; returns its version."""
        body = {"_id": function, "source": source}
        return (await self.services.functions.create(LOCAL, body)).version

    async def run(self, job_id: str, result: bytes = b"42") -> None:
        """What a worker and the porter do: claim, finish, announce."""
        await self._end(job_id, JobEvent.FINISH, result=result)

    async def begin(self, job_id: str) -> int:
        """A worker claims it; returns the epoch of its claim."""
        desk = self.broker.claims
        assert desk is not None
        return (await desk.grant([ClaimRequest(job_id, "h1", "w1")]))[0].epoch

    async def fail(self, job_id: str, error: JobError) -> None:
        """As `run`, for a job that raised."""
        await self._end(job_id, JobEvent.FAIL, error=error)

    async def _end(self, job_id: str, event: JobEvent, **fields: Any) -> None:
        epoch = await self.begin(job_id)
        now = self.clock.now()
        given: dict[str, Any] = {"epoch": epoch, "host": "h1", "worker": "w1"}
        given |= {"at": now, "started_at": now, "finished_at": now}
        job = await self.store.get_job(job_id)
        assert job is not None
        given["ran"] = job.running_version
        await self.apply([Transition(id=job_id, event=event, **given, **fields)])

    async def apply(self, transitions: Sequence[Transition]) -> None:
        """Transitions, announced as the daemons announce them."""
        outcomes = await self.store.apply(transitions)
        assert all(each.applied for each in outcomes)
        await self.services.bus.publish(
            [
                Change("jobs", each.id, each.state.value if each.state else "", each.position)
                for each in outcomes
            ]
        )


@asynccontextmanager
async def serve(
    folder: Path,
    *,
    clock: Clock | None = None,
    settings: ServerSettings | None = None,
    sealer: Sealer | None = None,
    envelopes: Signer | None = None,
) -> AsyncIterator[Server]:
    """A server on a new folder."""
    clock = clock or SystemClock()
    settings = settings or ServerSettings()
    path = folder / "dts.db"
    prepare(path, SCHEMA, MIGRATIONS)
    database = Database(path, asyncio.get_running_loop())
    store = CountingStore(database, clock)
    broker = EmbeddedBroker(
        database, claims=Claims(store, clock, lease=timedelta(seconds=10)), clock=clock
    )
    await broker.start()
    for spec in (
        QueueSpec(RESULTS),
        QueueSpec(HEARTBEATS, QueueKind.BOUNDED),
        QueueSpec(LOGS, QueueKind.BOUNDED),
        QueueSpec(REQUESTS, QueueKind.REQUEST),
        QueueSpec(f"{JOBS}default", claimed=True),
        QueueSpec(f"{JOBS}dts", claimed=True),
    ):
        await broker.declare(spec)
    intake = EmbeddedIntake(database, store, broker)
    services = build_services(
        store,
        intake,
        broker,
        clock,
        settings,
        ServiceOptions(
            plugins=folder / "plugins",
            vault=open_vault(VaultSettings(), folder),
            ssh_keys=ssh_keys,
            sealer=sealer,
            envelopes=envelopes,
        ),
    )
    await services.start()
    app = create_app(services, settings)
    transport = httpx.ASGITransport(app=cast("Any", app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        try:
            yield Server(app, services, store, broker, database, clock, http)
        finally:
            await services.stop()
            await broker.close()
            await store.close()
