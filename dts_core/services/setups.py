"""Setting virtual hosts up, taking that away, and new login keys for them: each by a job of `dts/vhost.*`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from dts_core.model import Job
from dts_core.services.access import Caller
from dts_core.services.admin import AdminWriter
from dts_core.services.hostruns import INIT, REMOVE, ROTATE
from dts_core.services.jobs import Jobs
from dts_core.services.person import again_arguments, person_arguments
from dts_core.services.signing import Signing
from dts_core.services.vhosts import VHOSTS, Vhosts
from dts_core.settings import BrokerSettings, SetupSettings
from dts_core.views import RotateKeyRequest, SetupRequest, SubmitRequest, TeardownRequest
from dts_core.views.ssh import SshLogin, SshPerson

__all__ = ["Setups"]

KINDS: Final = {INIT: "init", REMOVE: "teardown", ROTATE: "rotate"}
"""What their starts are recorded as."""
HOST_SECONDS: Final = 600.0
"""What one host may take beside its waiting; a job has that for each round of hosts at once."""
_PERSON: Final = set(SshLogin.__struct_fields__)
TEARDOWN_AT_ONCE: Final = 20
"""As `dts/vhost.remove` has it."""


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
            InvalidInput: Another user is named, and nobody takes part.
        """
        others = len(request.others)
        rounds = 1 + others // request.at_once + (others // request.batch if request.batch else 0)
        seconds = rounds * (HOST_SECONDS + request.wait_seconds)
        more = {"public_keys": self.public_keys}
        return await self._on(INIT, caller, vhost, request, seconds, key, digest, more)

    async def remove(
        self,
        caller: Caller,
        vhost: str,
        request: TeardownRequest,
        *,
        key: str = "",
        digest: bytes = b"",
    ) -> Job:
        """Start the job that takes away from virtual hosts what `init` made there; as `init`."""
        seconds = (1 + len(request.others) // TEARDOWN_AT_ONCE) * HOST_SECONDS
        return await self._on(REMOVE, caller, vhost, request, seconds, key, digest)

    async def rotate(
        self,
        caller: Caller,
        vhost: str,
        request: RotateKeyRequest,
        *,
        key: str = "",
        digest: bytes = b"",
    ) -> Job:
        """Start the job that gives virtual hosts new login keys; as `init`."""
        seconds = (1 + len(request.others) // request.at_once) * HOST_SECONDS
        return await self._on(ROTATE, caller, vhost, request, seconds, key, digest)

    async def again(
        self,
        caller: Caller,
        job: Job,
        vhosts: Sequence[str],
        person: SshPerson,
        *,
        key: str = "",
        digest: bytes = b"",
    ) -> Job:
        """The same as such a job, on some of its virtual hosts; who takes part, and what they trust, is said anew.

        Raises:
            NotFound: One of them is not there any more.
            InvalidInput: The job logged in as another user, and now nobody takes part.
        """
        arguments = msgspec.json.decode(job.kwargs, type=dict[str, Any])
        arguments = again_arguments(job, arguments, person)
        arguments["vhosts"] = list(vhosts)
        if job.function == INIT:  # there may be another key since
            arguments["public_keys"] = self.public_keys
        seconds = job.timeout_seconds
        return await self._start(caller, job.function, arguments, seconds, key, digest, of=job.id)

    async def _on(
        self, function: str, caller: Caller, vhost: str,
        request: SetupRequest | TeardownRequest | RotateKeyRequest,
        seconds: float, key: str, digest: bytes, more: Mapping[str, Any] | None = None,
    ) -> Job:  # fmt: skip
        """What was asked for one virtual host and others, as arguments of a job that goes to each once."""
        arguments: dict[str, Any] = msgspec.to_builtins(request)
        if isinstance(request, SshLogin):
            arguments = {name: arguments[name] for name in arguments.keys() - _PERSON}
            arguments |= person_arguments(request)
        vhosts = list(dict.fromkeys([vhost, *arguments.pop("others")]))
        arguments |= {"vhosts": vhosts, **(more or {})}
        return await self._start(caller, function, arguments, seconds, key, digest)

    async def _start(
        self, caller: Caller, function: str, arguments: dict[str, Any],
        seconds: float, key: str, digest: bytes, *, of: str = "",
    ) -> Job:  # fmt: skip
        for each in arguments["vhosts"]:
            await self._vhosts.load(caller, each)
        shown = {name: [None, value] for name, value in arguments.items() if name != "vhosts"}
        if of:
            shown["again_of"] = [None, of]
        for each in arguments["vhosts"]:
            await self._writer.record(caller, VHOSTS.name, each, KINDS[function], shown)
        submission = SubmitRequest(
            function=function,
            kwargs=msgspec.Raw(msgspec.json.encode(arguments)),
            timeout_seconds=seconds,
        )
        return await self._jobs.submit(caller, submission, key=key, digest=digest)
