"""Addresses and groups: what is one line of one address passes, everything else is named."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.errors import InvalidInput
from dts_core.services.mailaddress import (
    ADMINISTRATORS,
    check_address,
    check_groups,
    is_address,
)

GOOD = [
    "ada@example.org",
    "a.b+c@mail.example.org",
    "root@localhost",
    "o'neil@x-y.org",
    f"{'a' * 64}@b",
]
BAD = [
    " ", "ada", "@example.org", "ada@", "a b@example.org", "ada@example.org ", "ada@example.org\n",
    "ada@example.org\r\nBcc: eve@example.org", "Ada <ada@example.org>", "ada@example.org,eve@b.org",
    "a..b@example.org", ".a@example.org", "a.@example.org", "a@-b.org", "a@b-.org", "a@b..org",
    "a@[127.0.0.1]", '"a b"@example.org', "ädä@example.org", "a@exämple.org", "a@b\x00.org",
    f"{'a' * 65}@b", f"a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 63}", f"a@{'b' * 64}",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_address_passes(text: str) -> None:
    """A plain address is kept as it was given."""
    assert check_address(text) == text


def test_no_address_passes() -> None:
    """Empty means: gets no mail."""
    assert check_address("") == ""
    assert not is_address("")


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_address_is_named(text: str) -> None:
    """The refusal names the field."""
    with pytest.raises(InvalidInput) as caught:
        check_address(text)
    assert set(caught.value.fields) == {"address"}


@given(st.text(max_size=40))
def test_whatever_passes_is_one_line_of_ascii_with_one_at(text: str) -> None:
    """Nothing that passes can end a line, begin a second address, or quote anything."""
    for each in (text, f"{text}@example.org", f"a@{text}"):
        if is_address(each):
            assert set(each) <= set(string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-.@")
            assert each.count("@") == 1


def test_groups_are_kept_once_and_in_order() -> None:
    """A list with repeats is a set."""
    assert check_groups(["night", "day", "night"]) == ["day", "night"]
    assert check_groups([]) == []


@pytest.mark.parametrize(
    "names", [["Night"], [""], ["a b"], ["x\r\ny"], [ADMINISTRATORS], [f"g{n}" for n in range(51)]]
)
def test_groups_that_are_none(names: list[str]) -> None:
    """A wrong name, too many, and the group that follows from the role."""
    with pytest.raises(InvalidInput) as caught:
        check_groups(names)
    assert set(caught.value.fields) == {"groups"}
