"""Whether arguments fit a signature."""

import inspect
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.errors import InvalidInput, TooLarge
from dts_core.services.arguments import ArgumentCheck
from dts_core.services.signature import read_source


def check_of(signature: str) -> ArgumentCheck:
    return ArgumentCheck("ns/f", read_source(f"def main({signature}): pass").parameters)


def wrong(signature: str, args: Any = (), kwargs: Any = None) -> dict[str, str]:
    try:
        check_of(signature).check(
            msgspec.json.encode(args), msgspec.json.encode(kwargs if kwargs is not None else {})
        )
    except InvalidInput as error:
        return error.fields
    return {}


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("str", ["", "x"], [1, True, None, [], {}]),
        ("int", [0, -5, 2**70], [1.0, True, "1", None]),
        ("float", [1, 1.5], [True, "1.5", None]),
        ("bool", [True, False], [0, 1, "true", None]),
        ("list", [[], [1]], ["x", {}, None]),
        ("dict", [{}, {"a": 1}], [[], "x", None]),
        ("Path", ["/tmp"], [1, None]),
        ("date", ["2026-03-01"], ["yesterday", 5, None]),
        ("datetime", ["2026-03-01T12:00:00Z", "2026-03-01"], ["noon", 5, None]),
        ("Secret", ["x"], [1, None]),
        ("Literal['a', 1]", ["a", 1], ["b", True, 1.0, None]),
        ("str | None", ["x", None], [1]),
        ("Any", [None, 1, "x", [], {}], []),
    ],
)
def test_values_fit_their_types(annotation: str, good: list[Any], bad: list[Any]) -> None:
    """JSON has one kind of number and two of truth: an integer is not true, and 1.0 is no integer."""
    assert [value for value in good if wrong(f"x: {annotation}", [value])] == []
    assert [value for value in bad if not wrong(f"x: {annotation}", [value])] == []


def test_a_parameter_without_annotation_takes_everything() -> None:
    """Its author said nothing: the type that a form guesses from the default is not enforced."""
    assert wrong("x=1", ["text"]) == {}


@pytest.mark.parametrize(
    ("signature", "args", "kwargs", "fields"),
    [
        ("a, b", [1], {}, {"b": "missing a required argument"}),
        ("a", [1, 2], {}, {"args": "too many positional arguments: 2 given, 1 taken"}),
        ("a", [1], {"a": 2}, {"a": "multiple values for this argument"}),
        ("a=1", [], {"z": 2}, {"z": "got an unexpected keyword argument"}),
        ("*, a", [], {}, {"a": "missing a required argument"}),
        ("*a: int", [1, "x"], {}, {"a": 'expected an integer, got "x"'}),
        ("**k: int", [], {"z": "x"}, {"z": 'expected an integer, got "x"'}),
        ("a: int", ["x"], {}, {"a": 'expected an integer, got "x"'}),
        ("a: bool", [[1]], {}, {"a": "expected true or false, got a list"}),
    ],
)
def test_what_does_not_fit_is_named(
    signature: str, args: list[Any], kwargs: dict[str, Any], fields: dict[str, str]
) -> None:
    """The parameter, what was expected, what was given."""
    assert wrong(signature, args, kwargs) == fields


def test_the_error_is_one_line_with_the_signature_as_advice() -> None:
    """A person sees the first fault and how to call it."""
    with pytest.raises(InvalidInput) as caught:
        check_of("path: str, deep: bool = False").check(b"[]", b"{}")
    assert caught.value.message == (
        "the arguments do not fit ns/f: path: missing a required argument."
    )
    assert caught.value.advice == "Its signature is main(path: str, deep: bool = False)."


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (b"{}", b"{}"),
        (b"[]", b"[]"),
        (b"[1,]", b"{}"),
        (b"[", b"{}"),
        (b"", b"{}"),
        (b"\xff", b"{}"),
        (b'["\xff"]', b"{}"),
        (b"[NaN]", b"{}"),
        (b"[1] []", b"{}"),
        (b"[" * 40 + b"]" * 40, b"{}"),
        (b"[]", b"{1:2}"),
    ],
)
def test_what_is_no_json_of_that_shape_is_refused(args: bytes, kwargs: bytes) -> None:
    """Arguments that could not be decoded by a worker never get there."""
    with pytest.raises(InvalidInput):
        check_of("*a, **k").check(args, kwargs)


def test_arguments_have_a_size() -> None:
    """One mebibyte together; one more byte is refused before it is decoded."""
    check = check_of("x: str")
    most = b'["' + b"x" * ((1 << 20) - 6) + b'"]'
    check.check(most, b"{}")
    with pytest.raises(TooLarge):
        check.check(most + b" ", b"{}")


def test_control_characters_of_a_value_do_not_reach_the_message() -> None:
    """What a caller sends is shown to others only made visible."""
    fields = wrong("a: int, **k: int", ["\x1b[2J"], {"\u202ename": "x"})
    assert not any("\x1b" in text or "\u202e" in text for pair in fields.items() for text in pair)


SIGNATURES = ["a", "a, b=1", "*, a", "a, *, b=2", "*r", "**k", "a, *r, b, **k", "", "a=1, b=2"]


@given(
    st.sampled_from(SIGNATURES),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(), max_size=3),
)
def test_binding_agrees_with_python(
    signature: str, args: list[int], kwargs: dict[str, int]
) -> None:
    """A call is refused here exactly when Python itself would refuse it."""
    space: dict[str, Any] = {}
    exec(f"def main({signature}): pass", space)
    try:
        inspect.signature(space["main"]).bind(*args, **kwargs)
        fits = True
    except TypeError:
        fits = False
    assert (wrong(signature, args, kwargs) == {}) is fits
