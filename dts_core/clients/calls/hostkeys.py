"""Keys of virtual hosts: which they show, which of them is the right one."""

from collections.abc import Mapping, Sequence

from dts_core.clients.calls.person import person_body
from dts_core.clients.describe import Request, segment, write
from dts_core.names import new_id
from dts_core.views import JobView, Written


def scan_vhosts(
    hosts: Sequence[str] = (),
    *,
    labels: Mapping[str, str] | None = None,
    ask: bool = False,
    own_keys: Sequence[str] = (),
) -> Request[JobView]:
    """Look at the keys that hosts show; answers with the job, whose result has their fingerprints.

    Args:
        hosts: Ids of virtual hosts; `web-[1-20]`, `*` and `?` are understood.
        labels: All of which they have; an empty value takes any.
        ask: Answer what hosts ask that the way leads through: see `ssh.questions`.
        own_keys: Public keys of an SSH agent here, for such hosts of which nothing is stored; see `ssh.questions`.
    """
    body = {"hosts": list(hosts), "labels": dict(labels or {}), **person_body(ask, own_keys)}
    return write("POST", "/admin/vhosts/scan", JobView, body, key=new_id())


def trust_vhost(vhost: str, fingerprint: str, *, scan: str) -> Request[Written]:
    """Pin the key that a scan has seen and a person has compared.

    Args:
        vhost: Its id.
        fingerprint: The one that was compared, `SHA256:...`.
        scan: Id of the scan's job.
    """
    path = f"/admin/vhosts/{segment(vhost)}/trust"
    return write("POST", path, Written, {"fingerprint": fingerprint, "scan": scan})


def forget_vhost_key(vhost: str, *, reason: str) -> Request[Written]:
    """Remove what is pinned of a host, so that a new key can be confirmed; the reason is recorded."""
    path = f"/admin/vhosts/{segment(vhost)}/forget-key"
    return write("POST", path, Written, {"reason": reason})
