"""What became of a deploy on a host, by what its workers say with their heartbeats. No input or output here."""

from typing import Any, Final

import msgspec

from dts_core.model import Host, Readied

__all__ = ["FAILED", "READY", "SILENT", "HostReport", "WorkerReport", "report_on"]

READY: Final = "ready"
FAILED: Final = "failed"
SILENT: Final = "silent"
_NO_ANSWER: Final = "it has not answered; a worker of an older version never does"


class WorkerReport(msgspec.Struct, frozen=True):
    """What became of it on one worker."""

    state: str
    why: str = ""
    runs: str = ""
    """Hash of the version of the function that it loaded last; empty: none yet, or not known."""


class HostReport(msgspec.Struct, frozen=True):
    """What became of it on a host: ready is one whose workers all are."""

    state: str
    workers: dict[str, WorkerReport]
    why: str = ""
    is_over: bool = True
    """Whether nothing more is to be waited for."""

    def words(self) -> str:
        """Why it is not ready."""
        whys = [self.why, *(each.why for each in self.workers.values())]
        return "; ".join(dict.fromkeys(why for why in whys if why))

    def shown(self) -> dict[str, Any]:
        """As it stands in a result."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        del plain["is_over"]
        return plain


def report_on(host: Host | None, order: str) -> HostReport:
    """What became of a deploy on a host.

    Args:
        host: As the stethoscope knows it; None: no more.
        order: Id of the deploy's job.
    """
    if host is None:
        return HostReport(SILENT, {}, "it is not known any more")
    answers = {each.worker: each for each in host.beat.readied if each.order == order}
    names = host.worker_names or [host.beat.worker]
    workers = {name: _worker(answers.get(name)) for name in names}
    states = {each.state for each in workers.values()}
    if SILENT not in states:
        return HostReport(FAILED if FAILED in states else READY, workers)
    is_lost = host.state == "lost"
    why = f"it is lost, and was heard last at {host.last_beat:%Y-%m-%d %H:%M:%S} UTC"
    state = FAILED if FAILED in states else SILENT
    return HostReport(state, workers, why if is_lost else "", is_over=is_lost)


def _worker(answer: Readied | None) -> WorkerReport:
    if answer is None:
        return WorkerReport(SILENT, _NO_ANSWER)
    return WorkerReport(FAILED if answer.why else READY, answer.why, answer.runs)
