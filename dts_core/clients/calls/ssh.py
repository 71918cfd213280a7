"""Commands and functions on many hosts reached by SSH."""

from collections.abc import Mapping, Sequence
from typing import Any

from dts_core.clients.describe import Request, dry, get, segment, write
from dts_core.names import new_id
from dts_core.views.ssh import HostOutputView, HostRunList, OutputGroupList, SshStarted


def start_ssh(
    hosts: Sequence[str] = (),
    *,
    labels: Mapping[str, str] | None = None,
    argv: Sequence[str] = (),
    function: str = "",
    version: str = "",
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    at_once: int = 64,
    host_seconds: float = 600.0,
    batches: Sequence[str] = (),
    failures_max: int | None = None,
    dry_run: bool = False,
) -> Request[SshStarted]:
    """Run a command or a function on many hosts as one job; answers with the hosts and the job.

    Args:
        hosts: Ids of virtual hosts; `web-[1-20]`, `*` and `?` are understood.
        labels: All of which they have; an empty value takes any.
        argv: A plain command, word by word.
        function: In place of it: namespace/name of a stored function.
        version: Its hash; empty: the default one.
        args: Its positional arguments.
        kwargs: Its named arguments.
        at_once: Most hosts at the same time.
        host_seconds: For one host, once it runs there.
        batches: Sizes, or shares as `25%`; the last one again and again.
        failures_max: Hosts that may end otherwise than ok; None: any number.
        dry_run: Start nothing, only say which hosts are meant.
    """
    body = {
        "hosts": list(hosts),
        "labels": dict(labels or {}),
        "argv": list(argv),
        "function": function,
        "version": version,
        "args": list(args),
        "kwargs": dict(kwargs or {}),
        "at_once": at_once,
        "host_seconds": host_seconds,
        "batches": list(batches),
        "failures_max": failures_max,
    }
    return write("POST", "/ssh", SshStarted, body, key=new_id(), query=dry(dry_run))


def ssh_again(
    job: str, which: str, *, digest: str = "", dry_run: bool = False
) -> Request[SshStarted]:
    """The same again on exactly the hosts that ended in one way.

    Args:
        job: The earlier one.
        which: failed | unreachable | timed_out | cancelled | never_started | not_ok | group
        digest: For group: which one.
        dry_run: Start nothing, only say which hosts are meant.
    """
    path, body = f"/ssh/{segment(job)}/again", {"which": which, "digest": digest}
    return write("POST", path, SshStarted, body, key=new_id(), query=dry(dry_run))


def ssh_hosts(
    job: str, *, start: int = 0, limit: int = 500, state: str = ""
) -> Request[HostRunList]:
    """A page of the hosts of a job, in its order; only those in a state where one is named."""
    query = {"start": start, "limit": limit, "state": state}
    return get(f"/ssh/{segment(job)}/hosts", HostRunList, query)


def ssh_changes(job: str, after: int, *, limit: int = 1000) -> Request[HostRunList]:
    """Hosts of a job that changed after a position (0: all that were begun), in the order of their changes."""
    query = {"after": str(after), "limit": limit}  # 0 is a position too
    return get(f"/ssh/{segment(job)}/hosts", HostRunList, query)


def ssh_output(job: str, host: str) -> Request[HostOutputView]:
    """What one host printed and returned."""
    return get(f"/ssh/{segment(job)}/hosts/{segment(host)}/output", HostOutputView)


def ssh_groups(job: str) -> Request[OutputGroupList]:
    """Hosts with the same answer together, the largest groups first."""
    return get(f"/ssh/{segment(job)}/groups", OutputGroupList)
