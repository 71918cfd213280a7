"""A version that is tried before it is the default one: how a function says so, and which jobs run it.

A canary runs on hosts by their name and for a share of the jobs by their id: the same job runs the same version again,
whoever asks and however often. A call that does not fit the canary's parameters is left to the default version.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from dts_core.errors import InvalidInput
from dts_core.model import Ahead, Function, Reload, Trial
from dts_core.names import is_host
from dts_core.services.arguments import ArgumentCheck
from dts_core.text import clean

__all__ = [
    "CANARY",
    "NEW",
    "Chosen",
    "Tried",
    "check_hosts",
    "choose",
    "reloads",
    "tried_by",
    "with_canary",
]

CANARY: Final = ("canary", "canary_share", "canary_hosts")
"""The fields of a function that say what is tried."""
NEW: Final = "new"
"""In place of a hash: the version that the source of the same write makes."""
_ALL: Final = float(1 << 64)


class Tried(msgspec.Struct, frozen=True):
    """The canary of a function, ready to be chosen."""

    version: str
    is_async: bool
    arguments: ArgumentCheck
    share: float
    hosts: list[str]


class Chosen(msgspec.Struct, frozen=True):
    """What a job runs: `version`, or where its host is one of the trial's, the version of that."""

    version: str
    is_async: bool
    trial: Trial | None = None


def choose(
    chosen: Chosen, tried: Tried | None, *, job: str, host: str, args: bytes, kwargs: bytes
) -> Chosen:
    """What a job runs that names no version.

    Args:
        chosen: The default version.
        tried: The canary; None: there is none.
        job: Id of the job.
        host: The host that it is sent to; empty: whichever takes it.
        args: JSON array.
        kwargs: JSON object.
    """
    if tried is None or not _fits(tried, args, kwargs):
        return chosen
    if host in tried.hosts or is_within(job, tried.version, tried.share):
        return Chosen(tried.version, tried.is_async)
    if host or not tried.hosts:
        return chosen
    trial = Trial(tried.version, tried.is_async, tried.hosts)
    return Chosen(chosen.version, chosen.is_async, trial)


def is_within(job: str, version: str, share: float) -> bool:
    """Whether a job is of those that run a canary: always the same for a job and a canary."""
    digest = hashlib.sha256(f"{version}\0{job}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * _ALL


def tried_by(function: Function, former: Tried | None = None) -> Tried | None:
    """The canary of a function; what was made ready of `former` is taken over."""
    found = next((each for each in function.versions if each.hash == function.canary), None)
    if found is None:
        return None
    known = former is not None and former.version == found.hash
    return Tried(
        version=found.hash,
        is_async=found.is_async,
        arguments=former.arguments
        if former is not None and known
        else ArgumentCheck(function.id, found.parameters),
        share=function.canary_share,
        hosts=function.canary_hosts,
    )


def check_hosts(hosts: Sequence[str]) -> list[str]:
    """Names of hosts, each once, sorted.

    Raises:
        InvalidInput: One is no host's name.
    """
    for host in hosts:
        if not is_host(host):
            raise InvalidInput(
                f"{clean(host, 120)!r} is no host's name.",
                fields={"canary_hosts": "names of hosts"},
            )
    return sorted(set(hosts))


def with_canary(function: Function, given: Mapping[str, Any]) -> Function:
    """The function with what is given of its canary; one that has become the default version is none any more.

    Args:
        function: As it is to be, with its versions and its default one.
        given: Some of CANARY, checked; NEW is resolved already.

    Raises:
        InvalidInput: There is no such version, it is the default one, or nothing would run it.
    """
    wanted = given.get("canary", function.canary)
    share = given.get("canary_share", function.canary_share)
    hosts = given.get("canary_hosts", function.canary_hosts)
    if not wanted and (given.get("canary_share") or given.get("canary_hosts")):
        raise InvalidInput(
            f"{function.id} has no canary that could have hosts or a share.",
            fields={"canary": "required with canary_share or canary_hosts"},
        )
    if wanted == function.default and given.get("canary"):
        raise InvalidInput(
            f"version {wanted[:12]} is the default one of {function.id} already.",
            fields={"canary": "is the default version"},
        )
    if wanted in ("", function.default):
        return _without(function)
    if all(each.hash != wanted for each in function.versions):
        raise InvalidInput(
            f"function {function.id} has no version {clean(wanted, 64)!r}.",
            fields={"canary": "no such version"},
        )
    if not share and not hosts:
        raise InvalidInput(
            f"nothing would run version {wanted[:12]} of {function.id}.",
            fields={"canary_share": "above 0, or name canary_hosts"},
            advice="Give it a share of the jobs, or hosts; to withdraw it, make canary empty.",
        )
    return msgspec.structs.replace(
        function, canary=wanted, canary_share=float(share), canary_hosts=list(hosts)
    )


def reloads(before: Function | None, after: Function) -> list[Reload]:
    """What workers fetch ahead after a write, in order: the later word on a host's own version counts."""
    orders = []
    if before is None or before.default != after.default:
        orders.append(Reload(after.id, after.default))
    elif left := sorted(set(before.canary_hosts) - set(after.canary_hosts)):
        orders.append(Reload(after.id, after.default, Ahead(hosts=left, is_default=True)))
    if after.canary and (before is None or _trial_of(before) != _trial_of(after) or orders):
        if after.canary_hosts:
            ahead = Ahead(hosts=after.canary_hosts, is_default=True)
            orders.append(Reload(after.id, after.canary, ahead))
        if after.canary_share:
            orders.append(Reload(after.id, after.canary, Ahead()))
    return orders


def _trial_of(function: Function) -> tuple[str, bool, list[str]]:
    return function.canary, bool(function.canary_share), function.canary_hosts


def _without(function: Function) -> Function:
    return msgspec.structs.replace(function, canary="", canary_share=0.0, canary_hosts=[])


def _fits(tried: Tried, args: bytes, kwargs: bytes) -> bool:
    try:
        tried.arguments.check(args, kwargs)
    except InvalidInput:
        return False
    return True
