"""Log records: positions, filters, following, retention."""

from datetime import timedelta

import pytest

from dts_core.model import LogQuery, LogRecord
from dts_core.stores import limits
from dts_core.stores.base import Store
from dts_core.testing import START


def record(text: str = "line", **fields: object) -> LogRecord:
    given: dict[str, object] = {
        "at": START,
        "host": "h1",
        "source": "/var/log/syslog",
        "level": 20,
        "text": text,
    }
    return LogRecord(**(given | fields))  # type: ignore[arg-type]


async def texts(store: Store, **fields: object) -> list[str]:
    found = await store.find_logs(LogQuery(**fields))  # type: ignore[arg-type]
    positions = [each.seq for each in found]
    assert positions == sorted(positions)
    return [each.text for each in found]


async def test_records_get_positions_that_only_grow(store: Store) -> None:
    """What is added comes back with consecutive positions, and is stored so."""
    first = await store.add_logs([record("a"), record("b", job="j", function="s/f", level=40)])
    second = await store.add_logs([record("c")])
    kept = await store.find_logs(LogQuery())
    assert kept == [*first, *second]
    assert [each.seq for each in kept] == list(range(first[0].seq, first[0].seq + 3))
    assert await store.log_position() == second[0].seq
    assert await store.add_logs([]) == []


async def test_every_filter_and_their_combinations(store: Store) -> None:
    """Each field filters alone and with the others; level is at least; text takes no wildcards."""
    await store.add_logs(
        [
            record("one 100%", host="h1", level=20),
            record("two", host="h2", level=30, job="j1", function="s/f", source="job"),
            record("THREE_x", host="h1", level=40, job="j1"),
            record("four", host="h2", level=50),
        ]
    )
    assert await texts(store, host="h1") == ["one 100%", "THREE_x"]
    assert await texts(store, source="job") == ["two"]
    assert await texts(store, job="j1") == ["two", "THREE_x"]
    assert await texts(store, function="s/f") == ["two"]
    assert await texts(store, level=30) == ["two", "THREE_x", "four"]
    assert await texts(store, level=20, host="h1") == ["one 100%", "THREE_x"]
    assert await texts(store, level=35, host="h2") == ["four"]
    assert await texts(store, text="three") == ["THREE_x"]
    assert await texts(store, text="0%") == ["one 100%"]
    assert await texts(store, text="_") == ["THREE_x"]
    assert await texts(store, job="j1", host="h1", level=40, text="x") == ["THREE_x"]
    assert await texts(store, host="nobody") == []


async def test_the_newest_first_then_follow(store: Store) -> None:
    """Without a position the newest `limit`; above one the oldest; below one the newest before it."""
    kept = await store.add_logs([record(str(at)) for at in range(10)])
    assert await texts(store, limit=3) == ["7", "8", "9"]
    assert await texts(store, after=kept[3].seq, limit=3) == ["4", "5", "6"]
    assert await texts(store, before=kept[3].seq, limit=2) == ["1", "2"]
    assert await texts(store, after=kept[2].seq, before=kept[5].seq) == ["3", "4"]
    assert await texts(store, after=kept[9].seq) == []


async def test_a_query_looks_at_a_bounded_number_of_records(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies beyond the look is not found, in either direction."""
    monkeypatch.setattr(limits, "LOOK", 5)
    kept = await store.add_logs([record("needle" if at in (0, 9) else "hay") for at in range(10)])
    assert await texts(store, text="needle") == ["needle"]
    assert [each.seq for each in await store.find_logs(LogQuery(text="needle"))] == [kept[9].seq]
    assert await texts(store, text="needle", after=kept[0].seq) == []


async def test_old_records_are_removed(store: Store) -> None:
    """By the record's own time, at most `limit` looked at; newer ones stay wherever they stand."""
    ages = [5, 4, 0, 3]
    await store.add_logs([record(str(age), at=START - timedelta(days=age)) for age in ages])
    big = 1 << 40
    assert await store.trim_logs(START - timedelta(days=2), keep_bytes=big, limit=2) == 2
    assert await store.trim_logs(START - timedelta(days=2), keep_bytes=big) == 1
    assert await texts(store) == ["0"]
    assert await store.trim_logs(START - timedelta(days=2), keep_bytes=big) == 0


async def test_the_oldest_records_go_when_there_are_too_many_bytes(store: Store) -> None:
    """About the newest `keep_bytes` stay; the newest record of all is among them."""
    await store.add_logs([record(f"{at:05}" + "x" * 995) for at in range(3_000)])
    removed = 0
    for _ in range(4):
        removed += await store.trim_logs(START - timedelta(days=1), keep_bytes=1_000_000)
    left = await texts(store, limit=2000)
    assert len(left) == 3_000 - removed
    assert 700 <= len(left) <= 1_000
    assert left[-1].startswith("02999")


async def test_positions_are_not_used_again(store: Store) -> None:
    """Removing everything does not let a follower meet an old position twice."""
    [first] = await store.add_logs([record("a")])
    await store.trim_logs(START + timedelta(days=1), keep_bytes=0)
    assert await store.log_position() == first.seq
    [second] = await store.add_logs([record("b")])
    assert second.seq > first.seq


async def test_trimming_nothing_is_nothing(store: Store) -> None:
    """An empty log has nothing to remove."""
    assert await store.trim_logs(START, keep_bytes=0) == 0
    assert await store.log_position() == 0
