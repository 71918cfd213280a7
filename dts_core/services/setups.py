"""Setting virtual hosts up, and taking that away: by jobs of `dts/vhost.init` and `dts/vhost.remove`."""

from typing import Any, Final

import msgspec

from dts_core.model import Job
from dts_core.services.access import Caller
from dts_core.services.admin import AdminWriter
from dts_core.services.jobs import Jobs
from dts_core.services.signing import Signing
from dts_core.services.vhosts import VHOSTS, Vhosts
from dts_core.settings import BrokerSettings, SetupSettings
from dts_core.views import SetupRequest, SubmitRequest, TeardownRequest

__all__ = ["INIT", "REMOVE", "Setups"]

INIT: Final = "dts/vhost.init"
REMOVE: Final = "dts/vhost.remove"
HOST_SECONDS: Final = 600.0
"""What one host may take beside its waiting; a job has that for each round of hosts at once."""


class Setups:
    """Starts such jobs, and holds what they need of the settings. Only administrators come here.

    Args:
        vhosts: The virtual hosts.
        jobs: Where the jobs are submitted.
        writer: Each start is recorded.
        signing: Whose public key the hosts are to trust.
        settings: `[setup]`.
        link: `[broker]`.
    """

    def __init__(
        self,
        vhosts: Vhosts,
        jobs: Jobs,
        writer: AdminWriter,
        signing: Signing,
        settings: SetupSettings,
        link: BrokerSettings,
    ) -> None:
        self._vhosts = vhosts
        self._jobs = jobs
        self._writer = writer
        self._signing = signing
        self.settings = settings
        self.link = link

    @property
    def public_keys(self) -> list[str]:
        """Of this process, as workers are told them; none where it signs nothing."""
        public = self._signing.show().public
        return [public] if public else []

    async def init(
        self,
        caller: Caller,
        vhost: str,
        request: SetupRequest,
        *,
        key: str = "",
        digest: bytes = b"",
    ) -> Job:
        """Start the job that makes a worker of a virtual host, and of others; a look alone is recorded too.

        Args:
            caller: Who asks.
            vhost: Its id.
            request: How, and which others.
            key: The caller's idempotency key.
            digest: Of the request that `key` stands for.

        Raises:
            NotFound: One of them is not there.
        """
        arguments: dict[str, Any] = msgspec.to_builtins(request)
        others = arguments.pop("others")
        arguments |= {"vhosts": [vhost, *others], "public_keys": self.public_keys}
        rounds = 1 + len(others) // request.at_once + (len(others) // (request.batch or 1_000_000))
        seconds = rounds * (HOST_SECONDS + request.wait_seconds)
        return await self._start(caller, INIT, "init", arguments, seconds, key, digest)

    async def remove(
        self,
        caller: Caller,
        vhost: str,
        request: TeardownRequest,
        *,
        key: str = "",
        digest: bytes = b"",
    ) -> Job:
        """Start the job that takes away from virtual hosts what `init` made there.

        Args:
            caller: Who asks.
            vhost: Its id.
            request: How, and which others.
            key: The caller's idempotency key.
            digest: Of the request that `key` stands for.

        Raises:
            NotFound: One of them is not there.
        """
        arguments: dict[str, Any] = msgspec.to_builtins(request)
        others = arguments.pop("others")
        arguments["vhosts"] = [vhost, *others]
        seconds = (1 + len(others) // 20) * HOST_SECONDS
        return await self._start(caller, REMOVE, "teardown", arguments, seconds, key, digest)

    async def _start(
        self, caller: Caller, function: str, kind: str, arguments: dict[str, Any],
        seconds: float, key: str, digest: bytes,
    ) -> Job:  # fmt: skip
        for each in arguments["vhosts"]:
            await self._vhosts.load(caller, each)
        shown = {name: [None, value] for name, value in arguments.items() if name != "vhosts"}
        for each in arguments["vhosts"]:
            await self._writer.record(caller, VHOSTS.name, each, kind, shown)
        submission = SubmitRequest(
            function=function,
            kwargs=msgspec.Raw(msgspec.json.encode(arguments)),
            timeout_seconds=seconds,
        )
        return await self._jobs.submit(caller, submission, key=key, digest=digest)
