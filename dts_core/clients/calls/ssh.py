"""Commands and functions on many hosts reached by SSH."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from dts_core.clients.calls.person import person_body
from dts_core.clients.describe import Request, dry, get, segment, write
from dts_core.names import new_id
from dts_core.views.questions import AnswerTaken, QuestionList, QuestionView
from dts_core.views.ssh import (
    HostLiveView,
    HostOutputView,
    HostRunList,
    OutputGroupList,
    SshStarted,
)


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
    ask: bool = False,
    own_keys: Sequence[str] = (),
    user: str = "",
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
        ask: Answer what hosts ask: see `questions`.
        own_keys: Public keys of an SSH agent here, `TYPE BASE64`: log in with these; see `questions`.
        user: Log in as this user of the hosts; with `ask` or `own_keys`.
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
        **person_body(ask, own_keys, user),
    }
    return write("POST", "/ssh", SshStarted, body, key=new_id(), query=dry(dry_run))


def ssh_again(
    job: str,
    which: str,
    *,
    digest: str = "",
    ask: bool = False,
    own_keys: Sequence[str] = (),
    dry_run: bool = False,
) -> Request[SshStarted]:
    """The same again on exactly the hosts that ended in one way.

    Args:
        job: The earlier one.
        which: failed | unreachable | timed_out | cancelled | never_started | not_ok | group
        digest: For group: which one.
        ask: See `start`.
        own_keys: See `start`.
        dry_run: Start nothing, only say which hosts are meant.
    """
    path = f"/ssh/{segment(job)}/again"
    body = {"which": which, "digest": digest, **person_body(ask, own_keys)}
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


def ssh_live(job: str, host: str, *, stdout: int = 0, stderr: int = 0) -> Request[HostLiveView]:
    """What one host has printed behind two positions, which the answer before has told; whole lines while it runs."""
    query = {"stdout": str(stdout), "stderr": str(stderr)}
    return get(f"/ssh/{segment(job)}/hosts/{segment(host)}/live", HostLiveView, query)


def ssh_groups(job: str) -> Request[OutputGroupList]:
    """Hosts with the same answer together, the largest groups first."""
    return get(f"/ssh/{segment(job)}/groups", OutputGroupList)


def ssh_questions(job: str) -> Request[QuestionList]:
    """What logins of a job ask whoever started it, now."""
    return get(f"/ssh/{segment(job)}/questions", QuestionList)


def answer_question(
    question: QuestionView, answers: Sequence[str], *, for_all: bool = False
) -> Request[AnswerTaken]:
    """Answer one, sealed here: only the process that asked can open it.

    Args:
        question: As it was listed.
        answers: One for each prompt; of a signature, itself in base64.
        for_all: Use them for every host of the job that asks with the same words.
    """
    from dts_core.sealed.answers import seal_answers

    box = seal_answers(question.sealing_key, question.id, question.wording, answers)
    return _answered(question, {"box": base64.b64encode(box).decode(), "for_all": for_all})


def decline_question(question: QuestionView) -> Request[AnswerTaken]:
    """Do not answer: the login goes on without it, and mostly fails."""
    return _answered(question, {"declined": True})


def _answered(question: QuestionView, body: Mapping[str, Any]) -> Request[AnswerTaken]:
    path = f"/ssh/{segment(question.job)}/questions/{segment(question.id)}"
    return write("POST", path, AnswerTaken, body)
