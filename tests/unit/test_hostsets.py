"""Names of hosts folded and unfolded, chosen among those that there are, and cut into batches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.errors import InvalidInput
from dts_core.hostsets import fold, split_names, unfold
from dts_core.services.hostchoice import batch_sizes

NAMES = st.sets(
    st.from_regex(r"[a-z]{1,3}(-[0-9]{1,4}){0,2}([.-][a-z]{1,2})?", fullmatch=True), max_size=30
)


@given(NAMES)
def test_what_is_folded_unfolds_to_the_same(names: set[str]) -> None:
    """No name is lost, none is made up, whatever zeros stand before their numbers."""
    folded = fold(names)
    unfolded = [name for part in split_names(folded) for name in unfold(part)]
    assert sorted(unfolded) == sorted(names)


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        (["web-1", "web-2", "web-3", "web-7"], "web-[1-3,7]"),
        (["web-1"], "web-1"),
        (["n08", "n09", "n10", "n11"], "n[08-11]"),
        (["b", "a", "r1.dc", "r2.dc"], "a,b,r[1-2].dc"),
        ([], ""),
    ],
)
def test_folding_is_short(names: list[str], folded: str) -> None:
    """Ranges over the last number, sorted."""
    assert fold(names) == folded


def test_lists_are_cut_at_commas_and_blanks() -> None:
    """Those within brackets belong to their name."""
    assert split_names("web-[1,3-4], db b*") == ["web-[1,3-4]", "db", "b*"]
    assert unfold("r[1-2]-n[08-10]")[:4] == ["r1-n08", "r1-n09", "r1-n10", "r2-n08"]


@pytest.mark.parametrize(
    "wrong",
    ["web-[", "web-[a]", "web-[3-1]", "web-]", "web-[1-99999]", "w[1-200]x[1-200]", "w[-1]"],
)
def test_what_is_no_range_is_told(wrong: str) -> None:
    """Nothing is guessed, and nothing grows without bound."""
    with pytest.raises(InvalidInput):
        unfold(wrong)


@pytest.mark.parametrize(
    ("batches", "hosts", "sizes"),
    [
        ([], 10, []),
        (["1", "10", "50%"], 100, [1, 10, 50, 39]),
        (["30%"], 10, [3, 3, 3, 1]),
        (["1%"], 3, [1, 1, 1]),
        (["20"], 7, [7]),
        (["200%"], 5, [5]),
    ],
)
def test_batches_are_sizes_and_shares(batches: list[str], hosts: int, sizes: list[int]) -> None:
    """The last one again and again, cut where there are no more hosts."""
    assert batch_sizes(batches, hosts) == sizes
