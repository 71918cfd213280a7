"""The audit on each engine: chained as it is written, verified as it lies there, whatever happens in between."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dts_core.deadline import answer_within
from dts_core.errors import Conflict, NotFound, StoreUnavailable
from dts_core.model import Operation
from dts_core.services.directory import NAMESPACES
from dts_core.services.operations import OperationQuery
from dts_core.stores.base import Recorded, Store
from dts_core.testing import START, ManualClock
from tests.contract.store_backends import Opener
from tests.contract.test_store_documents import operation
from tests.support.audit import (
    ADMIN,
    MongoTamper,
    SqliteTamper,
    audit,
    create,
    describe,
    namespace,
    writer,
)

Tamper = SqliteTamper | MongoTamper


@pytest.fixture
def tamper(open_engine: Opener, tmp_path: Path, is_remote: bool) -> Tamper:
    if is_remote:
        assert isinstance(open_engine, partial)
        return MongoTamper(open_engine.args[0])
    return SqliteTamper(tmp_path)


async def kinds(store: Store, clock: ManualClock, **known: Any) -> list[str]:
    found = await audit(store, clock).verify(**known)
    return [each.kind for each in found.findings]


async def links(store: Store) -> list[tuple[int, str]]:
    """(number, outcome) by position, all of one chain or not."""
    rows = await store.recorded(limit=1000)
    operations = [msgspec.msgpack.decode(row.content, type=Operation) for row in rows]
    return [(each.number, each.refused and "refused") for each in operations]


async def test_writes_of_several_processes_verify(store: Store, clock: ManualClock) -> None:
    """Creates, changes, removals and refusals of three at once: their chains have no gap, and name each other."""

    async def work(name: str) -> None:
        writing = writer(store, clock)
        made = await create(writing, name)
        for text in "abc":
            made = await describe(writing, made, text)
        with pytest.raises(Conflict):
            await create(writing, name)
        await writing.write(ADMIN, NAMESPACES, made, None)

    await asyncio.gather(*(work(name) for name in ("one", "two", "three")))
    late = writer(store, clock)
    await create(late, "late")
    found = await audit(store, clock).verify()
    assert (found.findings, found.records, found.chains) == ([], 19, 4)
    newest = (await store.operations(limit=1))[0][1]
    assert newest.chain not in {head.chain for head in newest.heads}
    taken = await audit(store, clock).checkpoint()
    assert sorted(head.number for head in taken.heads) == [1, 6, 6, 6]
    assert await kinds(store, clock, checkpoint=taken) == []


async def test_numbers_follow_the_order_of_writes(store: Store, clock: ManualClock) -> None:
    """Many tasks of one process: positions and numbers grow together."""
    writing = writer(store, clock)
    await asyncio.gather(*(create(writing, f"n{at}") for at in range(12)))
    assert [number for number, _ in await links(store)] == list(range(1, 13))
    assert await kinds(store, clock) == []


async def test_a_write_that_its_guard_refuses_is_a_refused_record_of_that_number(
    store: Store, clock: ManualClock
) -> None:
    """Nothing is stored of it, so its number is not lost."""
    writing = writer(store, clock)
    made = await create(writing, "etl")
    with pytest.raises(Conflict):
        await create(writing, "etl")
    await describe(writing, made, "x")
    with pytest.raises(Conflict):
        await describe(writing, made, "y")
    with pytest.raises(NotFound):
        await describe(writing, namespace("gone"), "z")
    await create(writing, "last")
    assert await links(store) == [
        (1, ""), (2, "refused"), (3, ""), (4, "refused"), (5, ""),
    ]  # fmt: skip
    assert await kinds(store, clock) == []


@pytest.mark.parametrize("stored", [True, False])
async def test_a_write_of_which_nobody_knows_ends_the_chain(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    """Kept or not, no gap: the process goes on in a new chain, which names the old one's end."""
    writing = writer(store, clock)
    made = await create(writing, "etl")
    really = store.write_document

    async def unsure(*args: Any, **options: Any) -> None:
        if stored:
            await really(*args, **options)
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(store, "write_document", unsure)
    with pytest.raises(StoreUnavailable):
        await describe(writing, made, "x")
    monkeypatch.undo()
    await create(writing, "next")
    chained = [found for _, found in await store.operations()]
    assert [each.number for each in chained] == ([1, 2, 1] if stored else [1, 1])
    [named] = chained[0].heads
    assert (named.chain, named.number) == (chained[1].chain, chained[1].number)
    assert chained[0].chain != chained[1].chain
    assert await kinds(store, clock) == []


async def test_a_cancelled_write_ends_the_chain_and_lets_others_write(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gave up leaves the turn to the next."""
    writing = writer(store, clock)
    await create(writing, "one")
    reached = asyncio.Event()

    async def stuck(*args: Any, **options: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "write_document", stuck)
    given_up = asyncio.create_task(create(writing, "two"))
    await reached.wait()
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    monkeypatch.undo()
    await create(writing, "three")
    assert await links(store) == [(1, ""), (1, "")]
    assert await kinds(store, clock) == []


async def test_who_waits_for_the_turn_gets_an_answer_in_time(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a write before it gets none; nothing of it is stored, and no number is lost."""
    writing = writer(store, clock)
    await create(writing, "one")
    reached, goes_on = asyncio.Event(), asyncio.Event()
    really = store.write_document

    async def slow(*args: Any, **options: Any) -> None:
        reached.set()
        await goes_on.wait()
        await really(*args, **options)

    monkeypatch.setattr(store, "write_document", slow)
    first = asyncio.create_task(create(writing, "two"))
    await reached.wait()
    with answer_within(0.01), pytest.raises(StoreUnavailable, match="wait"):
        await create(writing, "three")
    goes_on.set()
    await first
    await create(writing, "four")
    assert await links(store) == [(1, ""), (2, ""), (3, "")]
    assert await kinds(store, clock) == []


async def test_what_is_written_during_a_reading_is_no_finding(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that the first look passes before it is there is seen by the second one."""
    at = await written(store, clock)
    really = store.recorded
    missed = [at[2]]

    async def late(**options: Any) -> list[Recorded]:
        found = await really(**options)
        seen = [row for row in found if row.position not in missed]
        missed.clear()
        return seen

    monkeypatch.setattr(store, "recorded", late)
    found = await audit(store, clock).verify()
    assert (found.findings, missed) == ([], [])
    assert found.records == len(at)


async def test_a_write_whose_record_cannot_be_stored_does_not_happen(
    store: Store, clock: ManualClock, tamper: Tamper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store refuses the record: neither the document nor its change, and the audit goes on afterwards."""
    writing = writer(store, clock)
    made = await create(writing, "etl")
    if isinstance(tamper, SqliteTamper):
        tamper.do(
            "CREATE TRIGGER no BEFORE INSERT ON operations BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    else:

        async def full() -> int:
            raise StoreUnavailable("the sequence cannot be counted on.")

        monkeypatch.setattr(store, "next_operation", full)
    for attempt in (create(writing, "new"), describe(writing, made, "changed")):
        with pytest.raises(StoreUnavailable):
            await attempt
    with pytest.raises(StoreUnavailable):
        await writing.write(ADMIN, NAMESPACES, made, None)
    monkeypatch.undo()
    if isinstance(tamper, SqliteTamper):
        tamper.do("DROP TRIGGER no")
    assert await NAMESPACES.find(store, "new") is None
    assert await NAMESPACES.find(store, "etl") == made
    await create(writing, "new")
    assert len(await store.operations()) == 2
    assert await kinds(store, clock) == []


async def written(store: Store, clock: ManualClock) -> list[int]:
    """Five records of one chain between two of another; their positions."""
    first, second = writer(store, clock), writer(store, clock)
    await create(second, "b0")
    for at in range(5):
        await create(first, f"a{at}")
    await create(second, "b1")
    return [row.position for row in await store.recorded()]


TAMPERINGS: dict[str, tuple[Callable[[Tamper, list[int], bytes], None], list[str]]] = {
    "edited": (lambda it, at, content: it.set(at[2], content), ["edited"]),
    "removed": (lambda it, at, content: it.remove(at[2]), ["removed"]),
    "moved": (lambda it, at, content: it.move(at[2], at[6] + 1), ["reordered"]),
    "cut": (lambda it, at, content: it.remove(at[5]), ["cut"]),
}


@pytest.mark.parametrize("kind", TAMPERINGS)
async def test_who_writes_past_the_store_is_found(
    store: Store, clock: ManualClock, tamper: Tamper, kind: str
) -> None:
    """Edited, removed, moved, the end of a chain cut off while another one goes on."""
    at = await written(store, clock)
    third = (await store.recorded())[2]
    content = msgspec.msgpack.encode(msgspec.msgpack.decode(third.content) | {"operator": "eve"})
    act, expected = TAMPERINGS[kind]
    act(tamper, at, content)
    assert await kinds(store, clock) == expected
    with pytest.raises(Conflict, match=expected[0]):
        await audit(store, clock).checkpoint()


async def test_two_records_that_change_places_are_found(
    store: Store, clock: ManualClock, tamper: Tamper
) -> None:
    """Both are named."""
    at = await written(store, clock)
    tamper.move(at[1], at[6] + 9)
    tamper.move(at[3], at[1])
    tamper.move(at[6] + 9, at[3])
    found = await audit(store, clock).verify()
    assert [(each.kind, each.position) for each in found.findings] == [
        ("swapped", at[1]),
        ("swapped", at[3]),
    ]


async def test_a_cut_end_is_found_against_a_checkpoint_or_by_the_process_that_wrote_it(
    store: Store, clock: ManualClock, tamper: Tamper
) -> None:
    """Without either nobody can know: what was cut off left no trace."""
    writing = writer(store, clock)
    for at in range(4):
        await create(writing, f"a{at}")
    taken = await audit(store, clock).checkpoint()
    assert taken.records == 4
    for row in (await store.recorded())[2:]:
        tamper.remove(row.position)
    assert await kinds(store, clock) == []
    assert await kinds(store, clock, checkpoint=taken) == ["cut"]
    own = await audit(store, clock, writing.chain).verify()
    assert [each.kind for each in own.findings] == ["cut"]


async def test_records_of_older_versions_are_counted(store: Store, clock: ManualClock) -> None:
    """Those before the first chain are no finding; one after it is."""
    for _ in range(3):
        await store.add_operation(operation())
    await create(writer(store, clock), "etl")
    found = await audit(store, clock).verify()
    assert (found.findings, found.unchained, found.records) == ([], 3, 4)
    taken = await audit(store, clock).checkpoint()
    assert taken.unchained.count == 3
    await store.add_operation(operation())
    assert await kinds(store, clock, checkpoint=taken) == ["unchained"]
    with pytest.raises(Conflict, match="unchained"):
        await audit(store, clock).checkpoint()
    accepted = await audit(store, clock).checkpoint(accept_unchained=True)
    assert await kinds(store, clock, checkpoint=accepted) == []
    await store.add_operation(operation())
    assert await kinds(store, clock, checkpoint=accepted) == ["unchained"]


async def test_a_damaged_record_stays_in_the_list(
    store: Store, clock: ManualClock, tamper: Tamper
) -> None:
    """Breaking a record hides neither it nor the others."""
    at = await written(store, clock)
    tamper.set(at[1], b"\xc1\x00")
    listed = await store.operations(collection="namespaces")
    assert [position for position, _ in listed] == at[::-1]
    assert (listed[5][1].op_type, listed[5][1].doc_id) == ("unreadable", "a0")
    assert await kinds(store, clock) == ["removed", "edited"]


async def test_operations_are_found_by_who_and_when_and_paged_both_ways(
    store: Store, clock: ManualClock
) -> None:
    """The store filters by user and time; `after` gives those next to it, newest first as always."""
    for at in range(8):
        who = "ann" if at % 2 else "bob"
        made = operation(f"d{at}", operator=who, timestamp=START + timedelta(seconds=at))
        await store.add_operation(made)
    listed = await store.operations()
    positions = [position for position, _ in listed]
    assert [found.doc_id for _, found in await store.operations(operator="ann")] == [
        "d7", "d5", "d3", "d1",
    ]  # fmt: skip
    since, until = START + timedelta(seconds=2), START + timedelta(seconds=4)
    between = await store.operations(since=since, until=until)
    assert [found.doc_id for _, found in between] == ["d3", "d2"]
    assert await store.operations(after=positions[5], limit=2) == listed[3:5]
    assert await store.operations(after=positions[5], before=positions[3]) == [listed[4]]
    assert await store.find_operation(listed[2][1].id) == listed[2]
    assert await store.find_operation("nothing") is None
    oldest = await store.recorded(after=positions[3], limit=2)
    assert [row.position for row in oldest] == [positions[2], positions[1]]


async def test_pages_lead_on_through_what_does_not_fit(store: Store, clock: ManualClock) -> None:
    """By type and refusal, to older and to newer ones, until there are no more."""
    for at in range(10):
        refused = "no." if at in (0, 6, 9) else ""
        await store.add_operation(operation(f"d{at}", op_type="login", refused=refused))
    operations = audit(store, clock)
    query = OperationQuery(refused=True, op_type="login", limit=2)
    newest = await operations.page(query)
    assert [each.doc_id for each in newest.items] == ["d9", "d6"]
    rest = await operations.page(msgspec.structs.replace(query, before=newest.next))
    assert ([each.doc_id for each in rest.items], rest.next) == (["d0"], 0)
    first = rest.items[0].position
    newer = await operations.page(msgspec.structs.replace(query, after=first, limit=1))
    assert [each.doc_id for each in newer.items] == ["d6"]
    last = await operations.page(msgspec.structs.replace(query, after=newer.next))
    assert ([each.doc_id for each in last.items], last.next) == (["d9"], 0)
    none = await operations.page(OperationQuery(op_type="delete"))
    assert (none.items, none.next) == ([], 0)


async def test_retention_never_touches_the_audit(store: Store, clock: ManualClock) -> None:
    """Everything that forgets was asked to forget everything."""
    await create(writer(store, clock), "etl")
    end = START + timedelta(days=36_500)
    await store.forget_jobs(end, limit=1000)
    await store.trim_logs(end, keep_bytes=0)
    await store.roll_up(end, fine=timedelta(0), coarse=timedelta(0))
    assert len(await store.operations()) == 1
    assert await kinds(store, clock) == []
