"""Documents as TOML: what is written reads back the same."""

from datetime import UTC, datetime
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from dts_core.plain.toml import tables_to_toml, to_toml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_a_document_reads_back_the_same(document: dict[str, Any]) -> None:
    """Any text, also of several lines or with control characters, in values and in keys."""
    assert tomli.loads(to_toml(document)) == document


@given(st.lists(st.dictionaries(TEXTS, SCALARS, max_size=3), max_size=3))
def test_a_list_of_documents_reads_back_the_same(documents: list[dict[str, Any]]) -> None:
    """Each document is a table."""
    found = tomli.loads(tables_to_toml("users", documents))
    assert found.get("users", []) == documents


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb\n", 'x = """\na\nb\n"""\n'),
        ('say "no"', 'x = "say \\"no\\""\n'),
        (["a", "b"], 'x = ["a", "b"]\n'),
        ({"ann": "admin"}, 'x = { ann = "admin" }\n'),
        (datetime(2026, 1, 2, tzinfo=UTC), "x = 2026-01-02T00:00:00+00:00\n"),
        (None, ""),
    ],
)
def test_a_document_is_written_for_people(value: Any, text: str) -> None:
    """A person edits this: lines stay lines, what is not there is left out."""
    assert to_toml({"x": value}) == text
