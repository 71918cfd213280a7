"""Dead letters that the store keeps for brokers that cannot show them."""

from datetime import timedelta

import pytest

from dts_core.brokers.base import DeadLetter, Message
from dts_core.errors import InvalidInput
from dts_core.stores.base import Store
from dts_core.testing import START


def letter(number: int, queue: str = "jobs.default") -> DeadLetter:
    message = Message(
        b"\x00body", type="job", message_id=f"m{number}", priority=3, headers={"x-dts": [1, "a"]}
    )
    return DeadLetter(0, queue, START + timedelta(seconds=number), f"reason {number}", message)


async def test_a_letter_comes_back_as_it_went_in(store: Store) -> None:
    """Message, queue, instant and reason; the number is the store's own."""
    await store.add_dead([("k1", letter(1))])
    [kept] = await store.dead_letters()
    assert kept.seq > 0
    assert (kept.queue, kept.died, kept.reason) == (
        "jobs.default",
        START + timedelta(seconds=1),
        "reason 1",
    )
    assert kept.message == letter(1).message
    assert await store.get_dead([kept.seq]) == [kept]


async def test_the_same_letter_again_is_kept_once(store: Store) -> None:
    """A redelivered message does not become two letters, within a call or over several."""
    await store.add_dead([("k1", letter(1)), ("k2", letter(2)), ("k1", letter(3))])
    await store.add_dead([("k2", letter(4)), ("k3", letter(5))])
    listed = await store.dead_letters()
    assert [each.reason for each in listed] == ["reason 5", "reason 2", "reason 1"]


async def test_letters_are_listed_newest_first_and_paged(store: Store) -> None:
    """By the order of their arrival, `before` pages on."""
    for number in range(5):
        await store.add_dead([(f"k{number}", letter(number))])
    first = await store.dead_letters(limit=2)
    assert [each.reason for each in first] == ["reason 4", "reason 3"]
    rest = await store.dead_letters(before=first[-1].seq)
    assert [each.reason for each in rest] == ["reason 2", "reason 1", "reason 0"]
    assert await store.dead_letters(before=rest[-1].seq) == []


async def test_letters_are_discarded_by_number(store: Store) -> None:
    """Unknown and wild numbers count for nothing; the others stay."""
    await store.add_dead([(f"k{number}", letter(number)) for number in range(3)])
    newest, middle, oldest = await store.dead_letters()
    assert await store.discard_dead([newest.seq, newest.seq, 10**6, -1, 1 << 70]) == 1
    assert await store.dead_letters() == [middle, oldest]
    assert await store.get_dead([oldest.seq, newest.seq, middle.seq]) == [oldest, middle]
    with pytest.raises(InvalidInput):
        await store.get_dead([1] * 1001)


async def test_letters_are_counted_by_queue(store: Store) -> None:
    """What came from where, and is kept."""
    await store.add_dead([("a", letter(1)), ("b", letter(2)), ("c", letter(3, "jobs.host.h1"))])
    assert await store.count_dead() == {"jobs.default": 2, "jobs.host.h1": 1}
