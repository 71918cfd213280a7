"""The function `dts/notify.smtp` run as the internal worker runs it, for jobs that stand in a store."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from dts_core.builtin import calling
from dts_core.builtin.notify.smtp import main
from dts_core.clock import Clock
from dts_core.model import Job, JobQuery
from dts_core.remote import Remotes
from dts_core.services.building import build_jobs
from dts_core.services.container import Services
from dts_core.services.mail import FUNCTION, Mail
from dts_core.settings import NotifySettings
from dts_core.states import JobState
from dts_core.stores.base import Store
from dts_core.stores.jobstore import Intake
from tests.support.brokers import RecordingBroker


class Post:
    """What the function sees: mail and jobs over one store. It is the `Services` and the `Calling` in one."""

    def __init__(
        self, store: Store, intake: Intake, clock: Clock, settings: NotifySettings
    ) -> None:
        self.store = store
        self.mail = Mail(store, clock, settings)
        self.jobs = build_jobs(store, intake, RecordingBroker(), clock, result_max=1 << 20)
        self.job = "01JZZZZZZZZZZZZZZZZZZZZZZZ"
        self.submitter = "root"
        self.epoch = 1
        self.is_cancelled = False
        self.logged: list[str] = []

    @property
    def services(self) -> Services:
        return cast(Services, self)

    @property
    def remotes(self) -> Remotes:
        raise AssertionError("mail reaches no host")

    def progress(self, fraction: float, text: str = "") -> None:
        """See Calling."""

    def log(self, text: str, level: int = 20) -> None:
        self.logged.append(text)

    async def call(self, groups: Sequence[str], **more: Any) -> dict[str, Any]:
        """Run it by hand."""
        token = calling.set(self)
        try:
            given = {"subject": "[dts] a subject", "text": "a text"}
            return await main(list(groups), **(given | more))
        finally:
            calling.reset(token)

    async def accepted(self) -> list[Job]:
        """Every job of the function, the oldest first."""
        query = JobQuery(function=FUNCTION, newest_first=False, limit=500)
        return list((await self.store.find_jobs(query)).items)

    async def run(self, job: Job) -> dict[str, Any]:
        """One attempt of a job."""
        assert job.state in (JobState.QUEUED, JobState.PENDING, JobState.SCHEDULED)
        self.job = job.id
        arguments = msgspec.json.decode(job.kwargs)
        return await self.call(arguments.pop("groups"), **arguments)

    async def run_all(self) -> list[dict[str, Any]]:
        """One attempt of every job."""
        return [await self.run(job) for job in await self.accepted()]
