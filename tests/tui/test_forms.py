"""Forms from signatures: what a field accepts, and the call that comes out."""

from typing import Any

import pytest

from dts_core.model import Parameter
from dts_tui.forms import OMITTED, FieldError, Filled, Form, fields_of, masked


def field(kind: str, **fields: Any) -> Any:
    given: dict[str, Any] = {
        "name": "x",
        "kind": "positional",
        "type": kind,
        "required": True,
    } | fields
    return fields_of([Parameter(**given)])[0]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "42", 42),
        ("integer", " 1_000 ", 1000),
        ("number", "0.5", 0.5),
        ("switch", "yes", True),
        ("switch", "off", False),
        ("text", "plain", "plain"),
        ("text", "", ""),
        ("path", "~/x y", "~/x y"),
        ("secret", "s3", "s3"),
        ("list", "[1, 2]", [1, 2]),
        ("mapping", '{"a": 1}', {"a": 1}),
        ("any", "12", 12),
        ("any", "words", "words"),
        ("date", "2026-03-01", "2026-03-01"),
        ("datetime", "2026-03-01T12:00", "2026-03-01T12:00:00"),
    ],
)
def test_typed_text_becomes_a_value(kind: str, text: str, value: Any) -> None:
    """Each type reads the form people type it in."""
    assert field(kind).value(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("integer", "1.5"),
        ("integer", "x"),
        ("number", "nan"),
        ("number", "1e999"),
        ("switch", "maybe"),
        ("list", "{}"),
        ("mapping", "[]"),
        ("list", "[1"),
        ("list", "[NaN]"),
        ("any", '{"a"'),
        ("date", "1.3.2026"),
        ("path", ""),
        ("integer", ""),
    ],
)
def test_what_does_not_fit_is_said(kind: str, text: str) -> None:
    """Wrong text gives a reason for the person who types, not a value."""
    with pytest.raises(FieldError) as caught:
        field(kind).value(text)
    assert str(caught.value)


def test_an_optional_field_left_empty_is_left_out() -> None:
    """The function's own default counts then."""
    assert field("integer", required=False, default=5).value("") is OMITTED


def test_form_becomes_the_call() -> None:
    """Arguments go by name; defaults stand in the fields; options apart."""
    form = Form(
        [
            Parameter(name="path", kind="positional", type="path"),
            Parameter(name="count", kind="keyword", type="integer", required=False, default=3),
            Parameter(name="tags", kind="var_keyword", type="any"),
        ],
        host="web-1",
    )
    assert set(form.errors()) == {"path"}
    form.texts |= {"path": "/etc", "tags": '{"a": 1}', "options.retries": "2"}
    filled = form.filled()
    assert filled.args == []
    assert filled.kwargs == {"path": "/etc", "count": 3, "a": 1}
    assert filled.options == {"host": "web-1", "retries": 2}


def test_star_args_push_the_others_into_place() -> None:
    """With *args, what stands before it is given by position."""
    form = Form(
        [
            Parameter(name="a", kind="positional", type="integer"),
            Parameter(name="rest", kind="var_positional"),
        ]
    )
    form.texts |= {"a": "1", "rest": "[2, 3]"}
    assert form.filled().args == [1, 2, 3]


def test_options_have_bounds() -> None:
    """A priority of ten or a negative delay is wrong before it is sent."""
    form = Form([])
    form.texts |= {"options.priority": "10", "options.delay_seconds": "-1"}
    assert set(form.errors()) == {"options.priority", "options.delay_seconds"}


def test_secrets_are_masked_and_have_no_default_shown() -> None:
    """A secret's default never stands in the form, and its value never in what is shown."""
    form = Form(
        [Parameter(name="token", kind="keyword", type="secret", required=False, default="s3cret")]
    )
    assert form.texts["token"] == ""
    assert form.secrets() == {"token"}
    assert "s3" not in str(masked(Filled([], {"token": "s3", "x": 1}, {}), form.secrets()))


def test_a_secret_within_another_type_is_masked_too() -> None:
    """A list of secrets is typed as JSON, and shown no more than a single one; so is what goes by position."""
    form = Form([Parameter(name="keys", kind="var_positional", type="secret", secret=True)])
    assert form.secrets() == {"keys"}
    form.texts["keys"] = '["s3cret", "s4cret"]'
    filled = form.filled()
    assert filled.args == ["s3cret", "s4cret"]
    shown = masked(filled, form.secrets())
    assert "cret" not in str(shown)
    assert len(shown[0]) == 2
