"""The chains of the audit: what a reading tells of any tampering, and that it tells nothing of an honest audit."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dts_core.model import ChainHead, Operation
from dts_core.services.chains import NO_LINK, digest_of, link_of, unnamed
from dts_core.services.verifying import Reading
from dts_core.stores.base import Recorded
from dts_core.testing import START
from dts_core.views.operations import Unchained
from tests.support.audit import findings, recorded

CHAINS = ("A", "B", "C")


def written(order: str) -> list[Recorded]:
    """An honest audit: a record for each letter, of the chain of that name; `-` is one without a chain."""
    heads: dict[str, ChainHead] = {}
    known: dict[str, dict[str, ChainHead]] = {name: {} for name in CHAINS}
    records: list[Recorded] = []
    for position, name in enumerate(order, 1):
        made = operation(position)
        if name != "-":
            news = {
                each: head
                for each, head in heads.items()
                if each != name and known[name].get(each) != head
            }
            known[name] |= news
            before = heads.get(name)
            made = sealed(
                msgspec.structs.replace(
                    made,
                    position=position,
                    chain=name,
                    number=before.number + 1 if before else 1,
                    previous=before.digest if before else "",
                    heads=list(news.values()),
                )
            )
            heads[name] = head_of(made)
        records.append(recorded(made, position))
    return records


def operation(position: int, **fields: Any) -> Operation:
    return Operation(
        id=f"o{position}", collection="users", doc_id=f"u{position % 3}", op_type="update",
        operator="admin", timestamp=START, ops={"role": ["viewer", "admin"]}, **fields,
    )  # fmt: skip


def sealed(made: Operation) -> Operation:
    return msgspec.structs.replace(made, digest=digest_of(msgspec.msgpack.encode(made)))


def head_of(made: Operation) -> ChainHead:
    return ChainHead(
        chain=made.chain, number=made.number, position=made.position, digest=made.digest
    )


def head(record: Recorded) -> ChainHead:
    link = link_of(record.content)
    assert link is not None
    return link.head


def kinds(records: list[Recorded], **known: Any) -> list[tuple[str, int, str, int]]:
    return [
        (each.kind, each.position, each.chain, each.number) for each in findings(records, **known)
    ]


def edited(record: Recorded, **fields: Any) -> Recorded:
    content = msgspec.msgpack.decode(record.content) | fields
    return record._replace(content=msgspec.msgpack.encode(content))


orders = st.text(alphabet="ABC", min_size=1, max_size=14)


@given(st.integers(0, 3), orders)
def test_an_honest_audit_has_no_findings(unchained: int, order: str) -> None:
    """However chains interleave, and with records of older versions before them."""
    records = written("-" * unchained + order)
    assert findings(records) == []
    heads = [(head(record), "x") for record in records[unchained:]]
    assert findings(records, heads=heads) == []


@given(orders, st.data())
def test_any_single_byte_that_changes_is_found(order: str, data: st.DataObject) -> None:
    """Wherever in a record it is; of the very last one, too."""
    records = written(order)
    at = data.draw(st.integers(0, len(records) - 1))
    content = bytearray(records[at].content)
    byte = data.draw(st.integers(0, len(content) - 1))
    content[byte] ^= data.draw(st.integers(1, 255))
    records[at] = records[at]._replace(content=bytes(content))
    assert findings(records)


@given(orders, st.data())
def test_any_single_field_that_changes_is_found(order: str, data: st.DataObject) -> None:
    """Fields of the record, what the store says beside it, and fields that nobody knows."""
    records = written(order)
    at = data.draw(st.integers(0, len(records) - 1))
    record = records[at]
    beside = data.draw(st.sampled_from(["id", "collection", "doc_id", "operator", "at", ""]))
    if beside:
        fields: dict[str, Any] = {beside: 7 if beside == "at" else "other"}
        changed = record._replace(**fields)
    else:
        name = data.draw(st.sampled_from([*Operation.__struct_fields__, "unknown"]))
        was = msgspec.msgpack.decode(record.content).get(name)
        others: list[Any] = ["other", 0, 7, {}, None]
        value = data.draw(st.sampled_from([each for each in others if each != was]))
        changed = edited(record, **{name: value})
    records[at] = changed
    assert findings(records)


@given(orders, st.data())
def test_any_single_removal_but_of_a_tail_is_found(order: str, data: st.DataObject) -> None:
    """And that of a tail as soon as anybody names it: here a checkpoint of everything."""
    records = written(order)
    gone = records.pop(data.draw(st.integers(0, len(records) - 1)))
    link = link_of(gone.content)
    assert link is not None
    is_named = any(
        link.chain == other.chain or link.head in other.heads
        for other in (link_of(record.content) or NO_LINK for record in records)
        if other.position > link.position
    )
    assert bool(findings(records)) == is_named
    assert findings(records, heads=[(link.head, "the checkpoint")])


@given(orders.filter(lambda order: len(order) > 1), st.data())
def test_any_swap_is_found(order: str, data: st.DataObject) -> None:
    """Whether whole records change places or only their contents, of one chain or of two."""
    records = written(order)
    first, second = data.draw(
        st.lists(st.integers(0, len(records) - 1), min_size=2, max_size=2, unique=True)
    )
    one, two = records[first], records[second]
    if data.draw(st.booleans()):
        records[first] = two._replace(position=one.position)
        records[second] = one._replace(position=two.position)
    else:
        records[first] = one._replace(content=two.content)
        records[second] = two._replace(content=one.content)
    assert {(each.kind, each.position) for each in findings(records)} == {
        ("swapped", one.position),
        ("swapped", two.position),
    }


@given(orders, st.data())
def test_any_record_that_is_added_is_found(order: str, data: st.DataObject) -> None:
    """A copy of another one, or one of its own making without a chain."""
    records = written(order)
    position = len(records) + 1
    if data.draw(st.booleans()):
        copied = data.draw(st.sampled_from(records))
        records.append(copied._replace(position=position))
    else:
        records.append(recorded(operation(position), position))
    assert findings(records)


@pytest.mark.parametrize(
    ("order", "at", "expected"),
    [
        ("AAAA", 1, [("removed", 0, "A", 2)]),
        ("AAAA", 0, [("removed", 0, "A", 1)]),
        ("AAAA", 3, []),
        ("AABA", 1, [("removed", 0, "A", 2)]),
        ("AAB", 1, [("cut", 0, "A", 2)]),
        ("AB", 0, [("cut", 0, "A", 1)]),
    ],
)
def test_a_removal_is_told_as_what_it_is(
    order: str, at: int, expected: list[tuple[str, int, str, int]]
) -> None:
    """A gap names the missing number; a chain that is shorter than another one knew was cut."""
    records = written(order)
    del records[at]
    assert kinds(records) == expected


def test_one_edit_is_one_finding() -> None:
    """What follows an edited record still follows it."""
    records = written("ABAAB")
    records[2] = edited(records[2], operator="mallory")
    assert kinds(records) == [("edited", 3, "A", 2)]
    records = written("A")
    records[0] = edited(records[0], ops={})
    assert kinds(records) == [("edited", 1, "A", 1)]


def test_a_record_rewritten_with_a_digest_that_fits_is_found_by_what_follows() -> None:
    """By the next of its chain, by the record of another chain that names it, or by a checkpoint."""
    for order, known in (("AA", False), ("AB", False), ("A", True)):
        records = written(order)
        honest = head(records[0])
        was = msgspec.msgpack.decode(records[0].content, type=Operation)
        new = sealed(msgspec.structs.replace(was, ops={}, digest=""))
        # Without its digest of before, which is no part of what is digested.
        records[0] = recorded(new)
        assert link_of(records[0].content) is not None
        heads = [(honest, "the checkpoint")] if known else []
        assert [each[0] for each in kinds(records, heads=heads)] == ["edited"]


def test_a_record_under_a_number_that_is_taken_is_found() -> None:
    """Somebody wrote on a chain that was not theirs, and its process went on."""
    records = written("AA")
    was = msgspec.msgpack.decode(records[1].content, type=Operation)
    records.append(recorded(sealed(msgspec.structs.replace(was, id="o9", position=3, digest=""))))
    assert kinds(records) == [("doubled", 3, "A", 2)]


def test_records_without_a_chain_are_counted_and_held_by_a_checkpoint() -> None:
    """Older versions wrote them: none among chained ones, none other than the checkpoint knows."""
    records = written("--A")
    assert findings(records) == []
    assert kinds(written("A-")) == [("unchained", 2, "", 0)]
    reading = Reading()
    for record in records:
        reading.read(record)
    known = reading.unchained_digest()
    assert known.count == 2
    assert findings(records, unchained=known) == []
    assert findings(written("--AB"), unchained=known) == []
    changed = [edited(records[0], operator="mallory")._replace(operator="mallory"), *records[1:]]
    assert kinds(changed, unchained=known) == [("edited", 2, "", 0)]
    assert kinds(records[1:], unchained=known) == [("cut", 0, "", 0)]
    assert findings(records[1:], unchained=Unchained()) == []


def test_what_a_newer_version_added_belongs_to_its_digest() -> None:
    """A record with fields that this version does not know is whole, and no less so when they change."""
    [record] = written("A")
    newer = msgspec.msgpack.decode(record.content) | {"mood": {"deep": [1, None]}}
    newer["digest"] = digest_of(msgspec.msgpack.encode(newer))
    whole = record._replace(content=msgspec.msgpack.encode(newer))
    assert findings([whole]) == []
    assert findings([edited(whole, mood={"deep": [2, None]})])


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_any_bytes_are_read(content: bytes) -> None:
    """Whatever lies in the store: a finding or a record without a chain, never an error."""
    record = written("A")[0]._replace(content=content)
    assert len(findings([record])) <= 2


def test_the_heads_that_nobody_names_are_few() -> None:
    """A record that names the head of another chain stands for it from then on."""
    records = written("AABCA")
    assert unnamed({}, records) == {"A": head(records[4])}
    assert unnamed({}, records[:4]) == {"C": head(records[3])}
    assert unnamed({}, records, own="A") == {"C": head(records[3])}
