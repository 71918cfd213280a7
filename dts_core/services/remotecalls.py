"""Remote calls: a command or a function on many hosts reached by SSH, by a job of `dts/sshrpc`."""

from typing import Any, Final

import msgspec

from dts_core.errors import Conflict, InvalidInput, NotFound
from dts_core.hostsets import fold
from dts_core.model import Job
from dts_core.names import split_function
from dts_core.services.access import DTS, Caller, check_submit
from dts_core.services.admin import AdminWriter
from dts_core.services.functions import Functions
from dts_core.services.hostchoice import batch_sizes, choose_hosts
from dts_core.services.hostruns import SETUPS, SSHRPC, HostRuns, hosts_of
from dts_core.services.jobs import Jobs
from dts_core.services.person import again_arguments, person_arguments
from dts_core.services.setups import Setups
from dts_core.services.targets import Targets
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views import SubmitRequest, job_view
from dts_core.views.ssh import SshAgain, SshRequest, SshStarted

__all__ = ["RemoteCalls"]

COLLECTION: Final = "ssh"
"""What starts are recorded under."""
START: Final = "call"
_WORDS_MAX: Final = 4096
"""Of a command, in its record."""


class RemoteCalls:
    """Starts them, for administrators alone."""

    def __init__(
        self,
        store: Store,
        functions: Functions,
        targets: Targets,
        jobs: Jobs,
        writer: AdminWriter,
        runs: HostRuns,
        setups: Setups,
    ) -> None:
        self._store = store
        self._functions = functions
        self._targets = targets
        self._jobs = jobs
        self._writer = writer
        self._runs = runs
        self._setups = setups

    async def start(
        self,
        caller: Caller,
        request: SshRequest,
        *,
        dry_run: bool = False,
        key: str = "",
        digest: bytes = b"",
    ) -> SshStarted:
        """Start the job, recorded with the hosts that it goes to.

        Args:
            caller: Who asks.
            request: What, where and how.
            dry_run: Only say which hosts are meant; nothing is started or recorded.
            key: The caller's idempotency key.
            digest: Of the request that `key` stands for.

        Raises:
            InvalidInput: No such host, nothing to run, or arguments that do not fit.
            NotFound: No such function that the caller sees.
            Forbidden: They may not submit to its namespace.
        """
        if bool(request.argv) == bool(request.function):
            raise InvalidInput(
                "a command or a function is expected, and not both.",
                fields={"argv": "give argv or function"},
            )
        person = person_arguments(request)
        version = await self._version(caller, request)
        hosts = await choose_hosts(self._store, request.hosts, request.labels)
        sizes = batch_sizes(request.batches, len(hosts))
        if dry_run:
            return SshStarted(hosts=hosts, batches=sizes)
        arguments: dict[str, Any] = {
            "hosts": hosts,
            "at_once": request.at_once,
            "host_seconds": request.host_seconds,
            "batches": sizes,
            "failures_max": request.failures_max,
        }
        arguments |= person
        if request.argv:
            arguments["argv"] = request.argv
        else:
            arguments |= {"function": request.function, "version": version}
            arguments |= {"args": request.args, "kwargs": request.kwargs}
        return await self._submitted(caller, arguments, key, digest)

    async def again(
        self,
        caller: Caller,
        job_id: str,
        request: SshAgain,
        *,
        dry_run: bool = False,
        key: str = "",
        digest: bytes = b"",
    ) -> SshStarted:
        """Start the same again, with the same version, on exactly the hosts that ended in one way; a set-up too.

        Raises:
            NotFound: No such job, or no host of it ended so.
            Conflict: It is not over, so that it is not known who never started.
        """
        job = await self._runs.job(caller, job_id)
        hosts = await self._runs.ended(job, request.which, request.digest)
        if not hosts:
            raise NotFound(
                f"no host of job {job.id} is {request.which.replace('_', ' ')}.",
                advice="`dts ssh --show JOB` shows how they ended.",
            )
        if job.function in SETUPS:
            if dry_run:
                return SshStarted(hosts=hosts)
            started = await self._setups.again(caller, job, hosts, request, key=key, digest=digest)
            return SshStarted(hosts=hosts_of(started), job=job_view(started))
        arguments = msgspec.json.decode(job.kwargs, type=dict[str, Any])
        arguments = again_arguments(job, arguments, request)
        sizes = [str(size) for size in arguments.get("batches") or []]
        arguments |= {"hosts": hosts, "batches": batch_sizes(sizes, len(hosts))}
        if dry_run:
            return SshStarted(hosts=hosts, batches=arguments["batches"])
        return await self._submitted(caller, arguments, key, digest, of=job.id)

    async def _version(self, caller: Caller, request: SshRequest) -> str:
        """The version of the function that is called; empty for a command."""
        if not request.function:
            return ""
        namespace, _ = split_function(request.function)
        if namespace == DTS:
            raise InvalidInput(
                f"functions of namespace {DTS}/ run on the control side alone.",
                fields={"function": "not of dts/"},
            )
        found = await self._functions.load(caller, request.function)
        check_submit(caller, namespace)
        target = await self._targets.find(request.function, request.version)
        target.arguments.check(bytes(request.args), bytes(request.kwargs))
        chosen = next((each for each in found.versions if each.hash == target.version), None)
        if chosen is None:
            raise Conflict(f"function {request.function} has just been changed: ask again.")
        if any(each.is_secret for each in chosen.parameters):
            raise InvalidInput(
                f"function {request.function} takes secret arguments, which only workers open.",
                fields={"function": "takes secret arguments"},
            )
        return target.version

    async def _submitted(
        self, caller: Caller, arguments: dict[str, Any], key: str, digest: bytes, *, of: str = ""
    ) -> SshStarted:
        what = arguments.get("function") or arguments["argv"][0]
        await self._writer.record(caller, COLLECTION, clean(what, 120), START, _ops(arguments, of))
        submission = SubmitRequest(
            function=SSHRPC, kwargs=msgspec.Raw(msgspec.json.encode(arguments))
        )
        job: Job = await self._jobs.submit(caller, submission, key=key, digest=digest)
        # Of a request that was sent again, the job that stands for it says where it goes.
        return SshStarted(hosts=hosts_of(job), batches=arguments["batches"], job=job_view(job))


def _ops(arguments: dict[str, Any], of: str) -> dict[str, Any]:
    """What the record says of a start."""
    told: dict[str, Any] = {"hosts": fold(arguments["hosts"]), "count": len(arguments["hosts"])}
    if "argv" in arguments:
        told["argv"] = clean(" ".join(arguments["argv"]), _WORDS_MAX)
    else:
        told["function"] = f"{arguments['function']} {arguments['version']}"
    for name in ("ask", "own_keys", "user"):
        if name in arguments:
            told[name] = arguments[name]
    if of:
        told["again_of"] = of
    return {name: [None, value] for name, value in told.items()}
