"""What every store keeps of a host's run in the same shape: its record and, apart from it, what it printed."""

from collections.abc import Sequence

import msgspec

from dts_core.model import HostOutput, HostRun
from dts_core.stores.limits import OUTPUTS_MAX, RUNS_MAX

__all__ = ["asked_hosts", "packed", "run_of", "stands"]

_encoder = msgspec.msgpack.Encoder()
_run = msgspec.msgpack.Decoder(HostRun)
_output = msgspec.msgpack.Decoder(HostOutput)


def packed(run: HostRun) -> tuple[bytes, bytes | None]:
    """The record without output, and the output."""
    bare = msgspec.structs.replace(run, output=None)
    return _encoder.encode(bare), None if run.output is None else _encoder.encode(run.output)


def run_of(doc: bytes, output: bytes | None = None) -> HostRun:
    """The record from what `packed` made of it."""
    found = _run.decode(doc)
    return msgspec.structs.replace(found, output=_output.decode(output)) if output else found


def stands(run: HostRun, kept: tuple[int, str] | None) -> bool:
    """Whether (epoch, state), as they are kept, are those of the run."""
    return kept == (run.epoch, run.state)


def asked_hosts(hosts: Sequence[str], *, with_output: bool) -> list[str]:
    """Each host once, as many as one answer may hold."""
    return list(dict.fromkeys(hosts))[: OUTPUTS_MAX if with_output else RUNS_MAX]
