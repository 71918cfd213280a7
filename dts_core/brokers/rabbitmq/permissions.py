"""What a user of RabbitMQ may do: no more than its part of dts needs. No input or output here.

RabbitMQ asks `configure` to declare, `write` to publish to an exchange or to bind a queue, `read` to consume from a
queue or to bind to an exchange; each is one regular expression on the names of a virtual host. Declaring a queue that
has a dead-letter exchange asks `write` on that too.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from dts_core.brokers import base
from dts_core.brokers.rabbitmq.topology import DLX, UP, fanout_name
from dts_core.brokers.senders import HOST_USER
from dts_core.settings import QueueNames

CONTROL_USER: Final = "dts.control"


class Permissions(msgspec.Struct, frozen=True):
    """Three regular expressions, anchored."""

    configure: str
    write: str
    read: str


def user_of(host: str) -> str:
    """The user of a worker host: whoever reads a message knows by it which host it came from."""
    return HOST_USER + host


def worker_permissions(host: str, queues: Sequence[str], names: QueueNames) -> Permissions:
    """What a worker of this host needs to take from these queues of jobs (without their prefix) and its own."""
    wanted = dict.fromkeys([*queues, f"host.{host}"])
    jobs = _one_of([f"{names.jobs}.{queue}" for queue in wanted], tail=r"(:[a-z]+)?")
    own = "^" + re.escape(f"dts.sub.{host}.") + r"[^.]+$"
    return Permissions(
        configure=f"{jobs}|{own}",
        write=f"{_one_of([UP, DLX])}|{own}",
        read=f"{jobs}|{own}|{_one_of([fanout_name(base.CONTROL)])}",
    )


def control_permissions(names: QueueNames) -> Permissions:
    """What servers and daemons need: everything of dts, and nothing else in the virtual host."""
    fixed = [names.results, names.heartbeats, names.logs, base.REQUESTS, base.DEAD, base.SUBMIT]
    queues = rf"^({re.escape(names.jobs)}|dts)\..*$|{_one_of(fixed)}"
    # RabbitMQ asks for the default exchange by this name.
    return Permissions(configure=queues, write=f"{queues}|^amq\\.default$", read=queues)


def _one_of(names: Sequence[str], tail: str = "") -> str:
    return f"^({'|'.join(re.escape(name) for name in names)}){tail}$"
