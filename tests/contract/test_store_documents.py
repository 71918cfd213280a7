"""Admin documents: optimistic writes, an audit record with each, content by hash."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from dts_core.errors import Conflict, NotFound
from dts_core.model import Operation
from dts_core.names import new_id
from dts_core.stores.base import Store
from dts_core.testing import START


def operation(doc_id: str = "a", collection: str = "users", **fields: object) -> Operation:
    given: dict[str, object] = {
        "id": new_id(),
        "collection": collection,
        "doc_id": doc_id,
        "op_type": "create",
        "operator": "admin",
        "timestamp": START,
        "ops": {"role": [None, "viewer"]},
    }
    return Operation(**(given | fields))  # type: ignore[arg-type]


async def create(
    store: Store, doc_id: str, document: bytes = b"1", collection: str = "users"
) -> None:
    await store.write_document(
        collection, doc_id, document, operation(doc_id, collection), expected_revision=0
    )


async def test_a_document_is_created_changed_and_deleted_with_its_operations(store: Store) -> None:
    """Each write is on record, newest first, with its position."""
    await create(store, "a")
    assert await store.get_document("users", "a") == b"1"
    change = operation(op_type="update")
    await store.write_document("users", "a", b"2", change, expected_revision=1, revision=2)
    assert await store.get_document("users", "a") == b"2"
    await store.write_document("users", "a", None, operation(op_type="delete"), expected_revision=2)
    assert await store.get_document("users", "a") is None
    listed = await store.operations(collection="users", doc_id="a")
    assert [found.op_type for _, found in listed] == ["delete", "update", "create"]
    assert listed[1][1] == change
    positions = [position for position, _ in listed]
    assert positions == sorted(positions, reverse=True)


async def test_a_stale_write_changes_nothing_and_leaves_no_operation(store: Store) -> None:
    """A refused write is a conflict; neither document, operation nor content is kept."""
    await create(store, "a")
    with pytest.raises(Conflict):
        await store.write_document(
            "users", "a", b"2", operation(), expected_revision=7, revision=8, blobs=[("h", b"x")]
        )
    with pytest.raises(Conflict):
        await create(store, "a", b"other")
    assert await store.get_document("users", "a") == b"1"
    assert len(await store.operations()) == 1
    assert await store.get_blob("h") is None


async def test_what_is_not_there_cannot_be_changed_or_deleted(store: Store) -> None:
    """Changing or deleting nothing is NotFound and records nothing."""
    for document in (b"1", None):
        with pytest.raises(NotFound):
            await store.write_document("users", "a", document, operation(), expected_revision=1)
        with pytest.raises(NotFound):
            await store.write_document("users", "a", document, operation())
    assert await store.operations() == []


async def test_of_many_changes_at_once_one_wins(store: Store) -> None:
    """Two consoles never overwrite each other silently."""
    await create(store, "a")
    results = await asyncio.gather(
        *(
            store.write_document(
                "users", "a", bytes([at]), operation(), expected_revision=1, revision=2
            )
            for at in range(10)
        ),
        return_exceptions=True,
    )
    assert results.count(None) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 9
    assert await store.get_document("users", "a") == bytes([results.index(None)])
    assert len(await store.operations()) == 2


async def test_documents_are_listed_by_id_prefix_and_page(store: Store) -> None:
    """Order by id; `after` pages on; a prefix takes exactly the ids that begin with it."""
    for doc_id in ("b/2", "a", "b/1", "b/3", "c", "b"):
        await create(store, doc_id, doc_id.encode())
    await create(store, "b/9", b"x", collection="functions")
    found = await store.find_documents("users")
    assert [doc_id for doc_id, _ in found] == ["a", "b", "b/1", "b/2", "b/3", "c"]
    assert found[2] == ("b/1", b"b/1")
    listed = await store.find_documents("users", prefix="b/", after="b/1", limit=1)
    assert listed == [("b/2", b"b/2")]
    assert await store.find_documents("tokens") == []


async def test_operations_are_filtered_and_paged(store: Store) -> None:
    """By collection, by document, below a position, newest first."""
    kept = [operation(doc_id, collection) for doc_id in "ab" for collection in ("users", "tokens")]
    for at, each in enumerate(kept * 2):
        await store.add_operation(
            operation(each.doc_id, each.collection, timestamp=START + timedelta(seconds=at))
        )
    assert len(await store.operations()) == 8
    of_users = await store.operations(collection="users")
    assert {found.collection for _, found in of_users} == {"users"}
    assert len(of_users) == 4
    one = await store.operations(collection="users", doc_id="a")
    assert [(found.collection, found.doc_id) for _, found in one] == [("users", "a")] * 2
    assert await store.operations(collection="users", doc_id="a", before=one[0][0]) == one[1:]
    assert len(await store.operations(limit=3)) == 3


async def test_content_is_kept_by_its_hash(store: Store) -> None:
    """The same content twice is kept once; unknown content is None."""
    blobs = [("h1", b"source"), ("h1", b"source"), ("h2", b"\x00\xff")]
    await store.write_document(
        "functions", "a", b"1", operation(), expected_revision=0, blobs=blobs
    )
    await store.write_document(
        "functions", "b", b"1", operation(), expected_revision=0, blobs=[("h1", b"source")]
    )
    assert await store.get_blob("h1") == b"source"
    assert await store.get_blob("h2") == b"\x00\xff"
    assert await store.get_blob("h3") is None


async def test_a_mark_says_when_a_document_was_last_used(store: Store) -> None:
    """The latest instant stands, writes leave it, no record tells of it, and it goes with its document."""
    await create(store, "a")
    await create(store, "b")
    later = START + timedelta(minutes=1)
    await store.mark("users", "a", later)
    await store.mark("users", "a", START)
    await store.mark("users", "nobody", later)
    assert await store.marks("users", ["a", "b", "nobody"]) == {"a": later}
    assert await store.marks("users", []) == {}
    change = operation(op_type="update")
    await store.write_document("users", "a", b"2", change, expected_revision=1, revision=2)
    assert await store.marks("users", ["a"]) == {"a": later}
    assert await store.get_document("users", "a") == b"2"
    assert [doc_id for doc_id, _ in await store.find_documents("users")] == ["a", "b"]
    assert len(await store.operations(collection="users")) == 3
    await store.write_document("users", "a", None, operation(op_type="delete"), expected_revision=2)
    await create(store, "a")
    assert await store.marks("users", ["a"]) == {}


def packed(**fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


async def test_documents_come_in_the_order_of_a_field(store: Store) -> None:
    """Either way, by id among equals, from behind any place; what is changed stands at its new place, once."""
    roles = {"a": "viewer", "b": "admin", "c": "viewer", "d": "admin", "e": "operator"}
    for doc_id, role in roles.items():
        await create(store, doc_id, packed(role=role, disabled=doc_id == "d", created_at=START))
    await create(store, "z", packed(role="admin"), "functions")

    async def ids(field: str = "role", **options: Any) -> str:
        rows = await store.sorted_documents("users", field, **options)
        for _, doc_id, doc in rows:
            assert await store.get_document("users", doc_id) == doc
        return "".join(doc_id for _, doc_id, _ in rows)

    assert await ids() == "bdeac"
    assert await ids(falling=True) == "caedb"
    assert await ids(behind=("admin", "d")) == "eac"
    assert await ids(behind=("admin", "b"), limit=2) == "de"
    assert await ids(behind=("operator", "a")) == "eac"
    assert await ids(behind=("viewer", "b"), falling=True) == "aedb"
    assert await ids("disabled") == "abced"
    assert await ids("id", falling=True, behind=("c", "c")) == "ba"
    [(value, _, _), *_] = await store.sorted_documents("users", "created_at")
    assert value == round(START.timestamp() * 1_000_000)
    change = operation("b", op_type="update")
    await store.write_document(
        "users", "b", packed(role="zero"), change, expected_revision=1, revision=2
    )
    await store.write_document("users", "e", None, operation("e", op_type="delete"))
    assert await ids() == "dacb"
    assert await ids("disabled") == "abcd"


async def test_what_is_no_document_stands_in_no_order(store: Store) -> None:
    """It is kept and found all the same; a field that a document has not counts as it did when there was none."""
    await create(store, "a", b"1")
    await create(store, "b", b"\xc1")
    await create(store, "c", packed(address=None))
    assert [each[:2] for each in await store.sorted_documents("users", "role")] == [
        ("submitter", "c")
    ]
    assert [each[:2] for each in await store.sorted_documents("users", "address")] == [("", "c")]
    assert [doc_id for doc_id, _ in await store.find_documents("users")] == ["a", "b", "c"]
