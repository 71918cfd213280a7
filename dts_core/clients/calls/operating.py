"""What an operator sees and does: hosts, alarms, logs, queues, dead letters, the dashboard."""

from collections.abc import Sequence
from typing import Any

from dts_core.clients.describe import Request, get, segment, write
from dts_core.model import Host
from dts_core.names import new_id
from dts_core.views import (
    AlarmList,
    DeadLetterDetail,
    DeadLetterList,
    DeadLettersDone,
    DrainChange,
    HostList,
    LogPage,
    QueueChange,
    QueueList,
    SampleList,
    StatusView,
)


def hosts() -> Request[HostList]:
    """Every host with its last heartbeat."""
    return get("/hosts", HostList)


def host(name: str) -> Request[Host]:
    """One host."""
    return get(f"/hosts/{segment(name)}", Host)


def samples(host_name: str, *, seconds: int = 300, by_minute: bool = False) -> Request[SampleList]:
    """A host's history over the last `seconds`."""
    return get(
        f"/hosts/{segment(host_name)}/samples",
        SampleList,
        {"seconds": seconds, "by_minute": by_minute or ""},
    )


def alarms(*, open_only: bool = False) -> Request[AlarmList]:
    """Alarms, open ones first."""
    return get("/alarms", AlarmList, {"open": open_only or ""})


def logs(
    *,
    host: str = "",
    source: str = "",
    job: str = "",
    function: str = "",
    level: int = 0,
    text: str = "",
    after: int = 0,
    before: int = 0,
    limit: int = 200,
) -> Request[LogPage]:
    """The newest 1..2000 records that match, oldest first; `after` a position only later ones."""
    query = {
        "host": host,
        "source": source,
        "job": job,
        "function": function,
        "level": level,
        "text": text,
        "after": after,
        "before": before,
        "limit": limit,
    }
    return get("/logs", LogPage, query)


def queues() -> Request[QueueList]:
    """Every queue with its figures."""
    return get("/queues", QueueList)


def pause_queue(name: str) -> Request[QueueChange]:
    """Have a queue of jobs hand nothing out until it is resumed."""
    return write("POST", f"/queues/{segment(name)}/pause", QueueChange, key=new_id())


def resume_queue(name: str) -> Request[QueueChange]:
    """Have it hand out again."""
    return write("POST", f"/queues/{segment(name)}/resume", QueueChange, key=new_id())


def dead_letters(*, queue: str = "", before: int = 0, limit: int = 50) -> Request[DeadLetterList]:
    """1..500 messages that were given up, newest first; `before` the last answer's `next` pages on."""
    query = {"queue": queue, "before": before, "limit": limit}
    return get("/queues/dead-letters", DeadLetterList, query)


def dead_letter(seq: int) -> Request[DeadLetterDetail]:
    """One of them with its body as text."""
    return get(f"/queues/dead-letters/{seq}", DeadLetterDetail)


def send_dead_again(seqs: Sequence[int]) -> Request[DeadLettersDone]:
    """Put 1..500 dead letters back into the queues they came from; how many there were."""
    body = {"seqs": list(seqs)}
    return write("POST", "/queues/dead-letters/send-again", DeadLettersDone, body)


def discard_dead(*, seqs: Sequence[int] = (), queue: str = "") -> Request[DeadLettersDone]:
    """Throw 1..500 dead letters away for good, or all that came from a queue; while `more`, ask again."""
    body: dict[str, Any] = {"queue": queue} if queue else {"seqs": list(seqs)}
    return write(
        "POST", "/queues/dead-letters/discard", DeadLettersDone, body, timeout_seconds=60.0
    )


def drain_host(name: str) -> Request[DrainChange]:
    """Have a host's workers take nothing new and finish what runs, until `undrain_host`."""
    return write("POST", f"/hosts/{segment(name)}/drain", DrainChange, key=new_id())


def undrain_host(name: str) -> Request[DrainChange]:
    """Have them take jobs again."""
    return write("POST", f"/hosts/{segment(name)}/undrain", DrainChange, key=new_id())


def status() -> Request[StatusView]:
    """The whole dashboard in one answer."""
    return get("/status", StatusView)
