"""Virtual hosts made workers of, that taken away, and new login keys for them: each by a job."""

from collections.abc import Sequence
from typing import Literal

from dts_core.clients.calls.person import person_body
from dts_core.clients.describe import Request, segment, write
from dts_core.names import new_id
from dts_core.views import JobView

__all__ = ["init_vhost", "remove_vhost", "rotate_vhost"]


def init_vhost(
    name: str,
    *,
    dry_run: bool = False,
    scope: Literal["user", "system"] = "user",
    others: Sequence[str] = (),
    queues: Sequence[str] = (),
    at_once: int = 20,
    batch: int = 0,
    failures_max: int | None = None,
    wait_seconds: float = 60.0,
    ask: bool = False,
    own_keys: Sequence[str] = (),
    user: str = "",
) -> Request[JobView]:
    """Make a worker of a virtual host; answers with the job, whose result tells each step and each host.

    Args:
        name: Its id.
        dry_run: Only look: the result is the plan.
        scope: user: in the home of who logs in; system: for the machine, which needs root or sudo.
        others: Further virtual hosts, by the same job.
        queues: That they take from; none: `default`.
        at_once: Most hosts at the same time.
        batch: Hosts of a batch; the next begins when it has ended; 0: all are one.
        failures_max: Hosts that may fail; with one more nothing new is begun; None: any number.
        wait_seconds: How long the job waits for each first heartbeat.
        ask: Answer what logins and sudo ask: see `ssh.questions`.
        own_keys: Public keys of an SSH agent here, `TYPE BASE64`: log in with these; see `ssh.questions`.
        user: Log in as this user of the hosts; with `ask` or `own_keys`.
    """
    body = {
        "dry_run": dry_run,
        "scope": scope,
        "others": others,
        "queues": queues,
        "at_once": at_once,
        "batch": batch,
        "failures_max": failures_max,
        "wait_seconds": wait_seconds,
        **person_body(ask, own_keys, user),
    }
    return write("POST", f"/admin/vhosts/{segment(name)}/init", JobView, body, key=new_id())


def remove_vhost(
    name: str,
    *,
    scope: Literal["user", "system"] = "user",
    others: Sequence[str] = (),
    keep_data: bool = False,
    ask: bool = False,
    own_keys: Sequence[str] = (),
    user: str = "",
) -> Request[JobView]:
    """Take away what `init_vhost` made on a virtual host, which itself stays; answers with the job.

    Args:
        name: Its id.
        scope: As it was set up.
        others: Further virtual hosts, by the same job.
        keep_data: Leave the worker's data folder.
        ask: See `init_vhost`.
        own_keys: See `init_vhost`.
        user: See `init_vhost`.
    """
    body = {
        "scope": scope,
        "others": others,
        "keep_data": keep_data,
        **person_body(ask, own_keys, user),
    }
    return write("POST", f"/admin/vhosts/{segment(name)}/remove", JobView, body, key=new_id())


def rotate_vhost(
    name: str,
    *,
    dry_run: bool = False,
    others: Sequence[str] = (),
    authorized_keys: str = "~/.ssh/authorized_keys",
    at_once: int = 20,
) -> Request[JobView]:
    """Give a virtual host a new login key, and shut the old one out; answers with the job, which tells each host.

    Args:
        name: Its id.
        dry_run: Only see that it could be done.
        others: Further virtual hosts, by the same job.
        authorized_keys: The file of the keys that the host lets in.
        at_once: Most hosts at the same time.
    """
    body = {
        "dry_run": dry_run,
        "others": others,
        "authorized_keys": authorized_keys,
        "at_once": at_once,
    }
    return write("POST", f"/admin/vhosts/{segment(name)}/rotate", JobView, body, key=new_id())
