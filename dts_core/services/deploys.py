"""Deploys: a version on every live worker ahead of its first job, by a job of `dts/deploy`."""

from typing import Final

import msgspec

from dts_core.errors import InvalidInput
from dts_core.model import Job
from dts_core.services.access import Caller, Role
from dts_core.services.admin import AdminWriter
from dts_core.services.functions import FUNCTIONS, Functions
from dts_core.services.jobs import Jobs
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import DeployRequest, SubmitRequest

__all__ = ["DEPLOY", "Deploys"]

DEPLOY: Final = "dts/deploy"
OP_TYPE: Final = "deploy"
"""What the audit calls it."""
SPARE_SECONDS: Final = 60.0
"""What such a job may take beside its waiting."""


class Deploys:
    """Starts them, for whoever may change the function."""

    def __init__(self, store: Store, functions: Functions, jobs: Jobs, writer: AdminWriter) -> None:
        self._store = store
        self._functions = functions
        self._jobs = jobs
        self._writer = writer

    async def start(
        self,
        caller: Caller,
        function: str,
        request: DeployRequest,
        *,
        key: str = "",
        digest: bytes = b"",
    ) -> Job:
        """Start the job that deploys a version; it is recorded, and belongs to the caller.

        Args:
            caller: Who asks.
            function: namespace/name.
            request: Which version, and where.
            key: The caller's idempotency key.
            digest: Of the request that `key` stands for.

        Raises:
            NotFound: There is no such function that the caller sees.
            Forbidden: They may not change it. The attempt is recorded.
            InvalidInput: It has no such version, or there is no such host.
        """
        await self._functions.allow(caller, function, OP_TYPE)
        found = await self._functions.load(caller, function)
        version = request.version or found.default
        if all(each.hash != version for each in found.versions):
            raise InvalidInput(
                f"function {function} has no version {clean(version, 64)!r}.",
                fields={"version": "no such version"},
                advice=f"`dts functions versions {function}` lists them.",
            )
        await self._check_hosts(request.hosts)
        ops = {"version": [None, version], "hosts": [None, request.hosts]}
        await self._writer.record(caller, FUNCTIONS.name, function, OP_TYPE, ops)
        arguments = {
            "function": function,
            "version": version,
            "hosts": request.hosts,
            "wait_seconds": request.wait_seconds,
        }
        submission = SubmitRequest(
            function=DEPLOY,
            kwargs=msgspec.Raw(msgspec.json.encode(arguments)),
            timeout_seconds=request.wait_seconds + SPARE_SECONDS,
        )
        # Whoever may change the function may have it fetched; other jobs of dts/ stay an administrator's.
        deputy = msgspec.structs.replace(caller, role=Role.ADMIN)
        return await self._jobs.submit(deputy, submission, key=key, digest=digest)

    async def _check_hosts(self, hosts: list[str] | None) -> None:
        if hosts is None:
            return
        known = {host.name for host in await self._store.hosts()}
        for name in hosts:
            if name not in known:
                raise InvalidInput(
                    f"there is no host {clean(name, 120)}.",
                    fields={"hosts": f"{clean(name, 120)} is not known"},
                    advice="See `dts hosts`.",
                )
