"""Operations in words: what was done, what changed field by field, what a look at the audit found."""

from collections.abc import Mapping
from typing import Any

import msgspec

from dts_core.model import Operation
from dts_core.text import clean
from dts_core.views.operations import Finding, Verification

VALUE_MAX = 2_000
"""Longest value that is shown, in characters."""


def outcome(operation: Operation) -> str:
    """Whether it was done."""
    return f"refused: {clean(operation.refused, 200)}" if operation.refused else "done"


def facts(operation: Operation) -> list[tuple[str, str]]:
    """(name, value) of what is told of an operation beside its changes; cleaned."""
    link = f"{operation.chain} number {operation.number}" if operation.chain else "none"
    told = [
        ("number", str(operation.position)),
        ("id", operation.id),
        ("document", f"{operation.collection} {operation.doc_id}"),
        ("operation", operation.op_type),
        ("by", operation.operator),
        ("at", f"{operation.timestamp.astimezone():%Y-%m-%d %H:%M:%S %z}"),
        ("from", operation.source),
        ("request", operation.request_id),
        ("outcome", outcome(operation)),
        ("revision", str(operation.revision or "")),
        ("chain", link),
        ("digest", operation.digest),
    ]
    return [(name, clean(value, 400)) for name, value in told if value]


def changes(ops: Mapping[str, Any]) -> list[str]:
    """A line for each field that changed: what it was, what it is. Of an act without a document, what it says."""
    return [f"{clean(name, 120)}: {_change(pair)}" for name, pair in ops.items()]


def finding(found: Finding) -> str:
    """One line."""
    at = f"record {found.position}: " if found.position else ""
    return clean(f"{found.kind}: {at}{found.text}", 400)


def verdict(verification: Verification) -> str:
    """What a look at the whole audit says, in one line."""
    read = f"{verification.records - verification.unchained:,} records in {verification.chains:,} chains"
    if verification.unchained:
        read += f", {verification.unchained:,} more without one"
    if not verification.total:
        return f"{read}: as they were written"
    return f"{read}: {verification.total:,} finding{'s' if verification.total > 1 else ''}"


def _change(pair: Any) -> str:
    if isinstance(pair, list) and len(pair) == 2:
        return f"{_value(pair[0])} -> {_value(pair[1])}"
    return _value(pair)


def _value(value: Any) -> str:
    return clean(msgspec.json.encode(value).decode(), VALUE_MAX)
