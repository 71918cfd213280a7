"""A claim of this worker, from its delivery to its ack."""

from enum import StrEnum

from dts_core.brokers.base import Consumption
from dts_core.model import JobMessage


class Stage(StrEnum):
    """How far a claim has come here."""

    LOADING = "loading"  # its source is being fetched
    STARTED = "started"  # in the pool: runs, or waits for a slot
    REPORTING = "reporting"  # over; its result is not confirmed yet
    GONE = "gone"  # no claim of ours any more


class Held:
    """One job that this worker holds."""

    __slots__ = ("cancelled", "consumption", "epoch", "job", "next", "origin", "stage", "tag")

    def __init__(
        self,
        job: JobMessage,
        epoch: int,
        consumption: Consumption,
        tag: int,
        origin: tuple[JobMessage, str] | None = None,
    ) -> None:
        self.job = job
        self.epoch = epoch
        self.consumption = consumption
        self.tag = tag
        self.origin = origin
        """Its message as it came, and the queue without prefix, where its envelope is to be checked."""
        self.stage = Stage.LOADING
        self.cancelled = False
        """Told to stop before it was started."""
        self.next: Held | None = None
        """A later claim of the same job, which starts when this one is gone."""
