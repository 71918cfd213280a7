"""A table of hosts in CSV: a line of column names, then a host a line."""

import csv
import difflib
import io
from collections.abc import Callable
from typing import Any, Final

from dts_core.errors import InvalidInput
from dts_core.hostfiles.found import Findings, FoundHost, port_of

__all__ = ["COLUMNS", "read_table"]

COLUMNS: Final = (
    "name", "address", "port", "user", "jump", "labels", "known_host_key", "python", "mode",
    "description",
)  # fmt: skip
_SECRETS: Final = (
    "password", "passphrase", "key_passphrase", "key", "private_key", "ssh_pem_cert", "secret",
)  # fmt: skip
_DELIMITERS: Final = ",;\t"


def read_table(
    file: str, text: str, findings: Findings, normal: Callable[[str], list[str]]
) -> None:
    """Read one; an empty cell tells nothing.

    Args:
        file: Its name, for people.
        text: What stands in it.
        findings: Takes the hosts, and what is wrong.
        normal: `SshKeys.host_keys`, which knows keys.
    """
    head = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=head.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [name.strip().lower() for name in next(rows, [])]
        if not _are_columns(file, columns, findings):
            return
        for row in rows:
            if any(cell.strip() for cell in row):
                _take(file, rows.line_num, columns, row, findings, normal)
    except csv.Error as error:
        findings.wrong(file, rows.line_num, f"it is no CSV: {error}")


def _are_columns(file: str, columns: list[str], findings: Findings) -> bool:
    for name in columns:
        if name in _SECRETS:
            findings.notes.append(
                f"{file}: the column {name} is not taken: give secrets with --key-file or --ask-password"
            )
        elif name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            why = f"did you mean {near[0]}?" if near else f"there are {', '.join(COLUMNS)}"
            findings.wrong(file, 1, f"the column {name!r} is not known; {why}")
    for name in COLUMNS:
        if columns.count(name) > 1:
            findings.wrong(file, 1, f"the column {name} stands there twice")
    if "name" not in columns:
        findings.wrong(file, 1, "the column name is missing: the first line names the columns")
    return not findings.mistakes


def _take(
    file: str,
    line: int,
    columns: list[str],
    row: list[str],
    findings: Findings,
    normal: Callable[[str], list[str]],
) -> None:
    if len(row) > len(columns):
        findings.wrong(file, line, f"{len(row)} cells, and {len(columns)} columns")
        return
    cells = {
        column: cell.strip()
        for column, cell in zip(columns, row, strict=False)
        if cell.strip() and column in COLUMNS
    }
    name = cells.pop("name", "")
    if not name:
        findings.wrong(file, line, "the host has no name")
        return
    fields: dict[str, Any] = {"address": name} | cells
    if "port" in cells:
        fields["port"] = port_of(cells["port"])
        if fields["port"] is None:
            findings.wrong(file, line, "its port is none")
            return
    if "known_host_key" in cells:
        try:
            fields["known_host_key"] = "\n".join(normal(cells["known_host_key"]))
        except InvalidInput:
            findings.wrong(file, line, "its known_host_key is none: TYPE BASE64 is expected")
            return
    if "labels" in cells:
        fields["labels"] = _labels(cells["labels"])
    findings.add(FoundHost(name=name, where=f"{file}, line {line}", fields=fields))


def _labels(text: str) -> dict[str, str]:
    """`role=web rack=7`, with blanks or `;` between them."""
    words = text.replace(";", " ").replace(",", " ").split()
    return {name: value for name, _, value in (word.partition("=") for word in words)}
