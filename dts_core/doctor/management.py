"""What only RabbitMQ's management API tells: alarms, policies, nodes, queues without a majority. Blocks."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dts_core.doctor.findings import Finding, ok, problem, warning
from dts_core.errors import BrokerError, NotFound
from dts_core.hosting.management import Management
from dts_core.settings import LinkSettings
from dts_core.text import one_line

__all__ = ["check_management"]

AREA: Final = "broker"
HARMFUL: Final = {
    "max-length": "drops or refuses jobs",
    "max-length-bytes": "drops or refuses jobs",
    "message-ttl": "lets jobs expire behind the store's back",
    "expires": "deletes queues that nobody uses for a while",
    "dead-letter-exchange": "sends dead letters past dts",
}
"""Keys of policies that break a promise on a queue of jobs or results."""


def check_management(api: Management, settings: LinkSettings, vhost: str) -> list[Finding]:
    """Look at the broker through its API; what the user may not see is said."""
    try:
        nodes = api.get("nodes")
        queues = api.get("queues", vhost)
    except (BrokerError, NotFound) as error:
        return [warning(AREA, one_line(error.message), error.advice or "Check the virtual host.")]
    found = [finding for node in nodes for finding in _node(node)]
    ours = [queue for queue in queues if _is_ours(str(queue.get("name", "")), settings)]
    found += [finding for queue in ours for finding in _queue(queue, settings)]
    if ours and not any(finding.area == AREA and "queue " in finding.what for finding in found):
        found.append(ok(AREA, f"no policy and no lost replica harms {len(ours)} queues"))
    return found


def _node(node: Mapping[str, Any]) -> list[Finding]:
    name = one_line(str(node.get("name", "?")))
    if not node.get("running", False):
        return [problem(AREA, f"node {name} does not run", "Start it, or forget it.")]
    found = []
    if node.get("mem_alarm"):
        found.append(problem(AREA, f"node {name} is out of memory", "It takes no messages now."))
    if node.get("disk_free_alarm"):
        found.append(problem(AREA, f"node {name} is out of disk", "It takes no messages now."))
    if node.get("partitions"):
        found.append(problem(AREA, f"node {name} sees a partition", "Heal the cluster."))
    return found or [ok(AREA, f"node {name} has memory and disk")]


def _is_ours(name: str, settings: LinkSettings) -> bool:
    names = settings.mq
    return name.startswith(f"{names.jobs}.") or name in (names.results, "dead")


def _queue(queue: Mapping[str, Any], settings: LinkSettings) -> list[Finding]:
    name = one_line(str(queue.get("name", "?")))
    policy = queue.get("effective_policy_definition") or {}
    found = [
        problem(
            AREA, f"queue {name}: a policy sets {key}, which {why}", "Take it out of the policy."
        )
        for key, why in HARMFUL.items()
        if key in policy
    ]
    found += _timeout(name, policy, settings)
    members, online = _names(queue.get("members")), _names(queue.get("online"))
    if members and 2 * len(online) <= len(members):
        what = f"queue {name}: {len(online)} of {len(members)} replicas are there, no majority"
        found.append(problem(AREA, what, "Bring the missing nodes back."))
    elif members and len(online) < len(members):
        what = f"queue {name}: {len(online)} of {len(members)} replicas are there"
        found.append(warning(AREA, what, "Bring the missing nodes back."))
    return found


def _timeout(name: str, policy: Mapping[str, Any], settings: LinkSettings) -> list[Finding]:
    milliseconds = policy.get("consumer-timeout")
    after = settings.rabbitmq.ack_after_seconds
    if not isinstance(milliseconds, int) or milliseconds / 1000 >= 2 * after:
        return []
    what = f"queue {name}: a policy sets consumer-timeout to {milliseconds / 1000:g} s"
    return [problem(AREA, what, f"Keep it at twice ack_after_seconds ({after:g} s) or more.")]


def _names(value: Any) -> Sequence[str]:
    return value if isinstance(value, list) else ()
