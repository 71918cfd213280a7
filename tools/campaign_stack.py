"""The processes of a campaign: the control side, workers of their own, and what is left of them."""

import contextlib
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import psutil

from dts_core.clients import SyncAdminClient
from dts_core.errors import DtsError
from dts_core.states import FINAL
from tests.support.processes import Running
from tools.campaign_charges import Charge

STOP_SECONDS: Final = 40.0
FINAL_STATES: Final = frozenset(state.value for state in FINAL)
CLOCK_SOURCE: Final = Path(__file__).with_name("stepped_clock.c")


class Row(NamedTuple):
    """What the store says of a job, read without any code of the product."""

    state: str
    epoch: int
    attempt: int
    losses: int
    has_lease: bool
    is_finished: bool
    result: bytes
    submitter: str
    error: str
    name: str
    """Its first argument: what the load calls it."""


class Stored(NamedTuple):
    """Everything that a store holds at the end."""

    rows: dict[str, Row]
    left: list[str]
    """Messages and dead letters that nobody took, and figures that do not fit the rows."""
    charges: list[Charge]


class Stack:
    """Named processes; whatever ended is started again by `tend`.

    An engine's own stack says which there are (`control`), how each is started and what the store holds.
    """

    control: Sequence[str] = ()
    """Names of the control side's processes, in the order in which they start."""
    open_max = 5_000
    """Most jobs that the load keeps unfinished."""
    calm_seconds = 11.0
    """So long after a fault of its own, the control side gives every worker a whole lease to be heard again."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.running: dict[str, Running] = {}
        self.workers = [f"worker-{number}" for number in range(workers)]
        self.held: set[str] = set()
        """Names that `tend` leaves alone for now."""
        self.seen: dict[int, psutil.Process] = {}
        self.statuses: list[str] = []
        self.outputs: list[Path] = []
        self.clock: Path | None = None

    # --- what an engine says

    def prepare(self) -> None:
        """Start what the processes stand on."""

    def start(self, name: str) -> Running:
        """Start the process of that name."""
        raise NotImplementedError

    def client(self) -> SyncAdminClient:
        """A client of the server that is there or comes; raises DtsError while there is none."""
        raise NotImplementedError

    def unfinished(self, client: SyncAdminClient) -> dict[str, int]:
        """How many jobs are in each state that is not final."""
        states = client.counts().states
        return {
            state: count for state, count in states.items() if count and state not in FINAL_STATES
        }

    def wait_ready(self, seconds: float) -> bool:
        """Wait until what the workers' messages go through serves; whether it does in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(DtsError), self.client() as client:
                client.session()
                return True
            time.sleep(0.02)
        return False

    def purge(self) -> None:
        """Remove finished jobs where their number hurts; nothing where it does not."""

    def acked(self, names: set[str], ago: float) -> set[str]:
        """Those of these jobs whose deliveries may have been acked, so many seconds ago, before they had ended."""
        return set()

    def stored(self) -> Stored:
        """What the store holds; after `stop`."""
        raise NotImplementedError

    def end(self) -> None:
        """Stop what `prepare` started."""

    # --- what all have in common

    def tend(self) -> None:
        """Start what is not there, and remember every process that was."""
        for name in (*self.control, *self.workers):
            if name not in self.held and not self.lives(name):
                self.running[name] = self.start(name)
                self.outputs.append(self.running[name].output)
        self.look()

    def lives(self, name: str) -> bool:
        """Whether the process of that name runs."""
        return name in self.running and self.running[name].process.poll() is None

    def build_clock(self) -> None:
        """Let workers have a clock of their own, where there is a compiler."""
        library = self.folder / "stepped_clock.so"
        compiler = shutil.which("cc")
        if compiler is None:
            return
        command = [
            compiler,
            "-shared",
            "-fPIC",
            "-O2",
            "-o",
            str(library),
            str(CLOCK_SOURCE),
            "-ldl",
        ]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            self.clock = library

    def worker_environment(self, name: str) -> dict[str, str]:
        """What makes a worker read its own clock."""
        if self.clock is None:
            return {}
        return {"LD_PRELOAD": str(self.clock), "STEPPED_CLOCK": str(self.clock_of(name))}

    def clock_of(self, name: str) -> Path:
        """The file that sets a worker's clock, by seconds that it is off."""
        return self.folder / f"{name}.clock"

    def look(self) -> None:
        """Remember every process of ours that lives now."""
        for part in self.running.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                self.seen.setdefault(part.process.pid, psutil.Process(part.process.pid))
            for each in part.descendants():
                self.seen.setdefault(each.pid, each)

    def children(self) -> list[psutil.Process]:
        """The workers' children and theirs."""
        return [
            each
            for name in self.workers
            if name in self.running
            for each in self.running[name].descendants()
        ]

    def stop(self) -> list[str]:
        """SIGTERM to all, workers first; what did not end well."""
        wrong = []
        for names in (self.workers, list(reversed(self.control))):
            parts = [self.running[name] for name in names if name in self.running]
            for part in parts:
                part.process.send_signal(signal.SIGCONT)
                part.process.send_signal(signal.SIGTERM)
            wrong += [said for part in parts for said in _end_of(part)]
        return wrong

    def left_over(self) -> list[str]:
        """Processes of ours that still live, killed now."""
        deadline = time.monotonic() + 5
        left = list(self.seen.values())
        while left and time.monotonic() < deadline:
            left = [each for each in left if lives(each)]
            time.sleep(0.1)
        names = []
        for each in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                names.append(f"process {each.pid} is left over: {' '.join(each.cmdline())[:120]}")
                each.kill()
        return names


def _end_of(part: Running) -> Iterator[str]:
    try:
        status = part.process.wait(STOP_SECONDS)
    except Exception as error:  # noqa: BLE001 - told at the end, like every other finding
        yield f"{part.output.name}: did not stop: {error}"
        part.process.kill()
        return
    if status != 0:
        yield f"{part.output.name}: exit status {status} after SIGTERM"


def name_in(fixed: bytes) -> str:
    """The first argument of a job, in what the stores pack of it: a MessagePack array, arguments third, as JSON."""
    args = msgspec.msgpack.decode(fixed)[2]
    return str(json.loads(args)[0])


def charge_in(job: str, attempt: bytes) -> Charge | None:
    """The loss that an attempt tells of, in what the stores pack of it; None when it ended otherwise."""
    told = msgspec.msgpack.decode(attempt)
    if told["outcome"] != "lose":
        return None
    return Charge(job, told["epoch"], told["worker"], told["ended_at"].timestamp())


def lives(process: psutil.Process) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
