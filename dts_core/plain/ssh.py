"""Hosts of a run in words: counts, groups of the same answer. For the command line and the console."""

from collections.abc import Mapping, Sequence
from typing import Final

from dts_core.model import JobError, Wording
from dts_core.plain import words
from dts_core.ssh.base import fingerprint
from dts_core.text import clean, one_line
from dts_core.views.ssh import HostRunView, OutputGroup

__all__ = ["STATES", "asked_by", "counts", "group_head", "group_text", "how", "signed_for"]

STATES: Final = (
    "ok", "failed", "timed_out", "unreachable", "cancelled", "running", "waiting", "never_started",
)  # fmt: skip
"""The order in which they are told."""
RULE: Final = "-" * 15


def counts(found: Mapping[str, int]) -> str:
    """How many hosts stand in each state: `97 ok, 2 failed, 1 unreachable`."""
    told = [f"{found[state]} {state.replace('_', ' ')}" for state in STATES if found.get(state)]
    return ", ".join(told) or "no hosts"


def how(run: HostRunView | OutputGroup) -> str:
    """How a host stands, with its exit status or the reason; one line."""
    told = run.state.replace("_", " ")
    if run.exit_signal:
        return f"{told}: signal {clean(run.exit_signal, 32)}"
    if run.error is not None:
        return f"{told}: {clean(_reason(run.error), 300)}"
    if run.exit_status:
        return f"{told}: exit {run.exit_status}"
    return told


def asked_by(wording: Wording) -> str:
    """Which host asks, with its own words above the prompts, or that none does; one line."""
    if wording.opens:
        return (
            f"The server opens a stored key for {clean(wording.host, 120)}, which does not see this"
        )
    title = one_line(wording.title, 300).strip()
    told = f"{clean(wording.host, 120)} asks"
    return f"{told}: {title}" if title else told


def signed_for(wording: Wording) -> str:
    """Which login a signature is asked for; one line."""
    key = fingerprint(wording.public_key)
    return f"{clean(wording.host, 120)}: log in as {clean(wording.user, 64)} with key {key}"


def _reason(error: JobError) -> str:
    first = error.message.strip().split("\n", 1)[0]
    return f"{error.type}: {first}" if error.type[:1].isupper() else first or error.type


def group_head(group: OutputGroup) -> str:
    """Its hosts, folded, how many, and how they stand unless that is ok."""
    told = f"{group.folded} ({words.plural(len(group.hosts), 'host')})"
    return told if group.state == "ok" else f"{told}: {how(group)}"


def group_text(group: OutputGroup) -> Sequence[str]:
    """Head and body, a line each, as clush -b tells them."""
    lines = [RULE, group_head(group), RULE]
    for text in (group.stdout, group.stderr, group.result):
        lines += text.rstrip("\n").split("\n") if text else []
    if group.error is not None and group.error.traceback:
        lines += group.error.traceback.rstrip("\n").split("\n")
    if group.digest and group.state != "ok":
        lines.append(f"(group {group.digest[:12]})")
    return lines
