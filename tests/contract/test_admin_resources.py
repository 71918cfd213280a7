"""An admin collection on every store: writes and their refusals, and pages that miss and double nothing."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dts_core.errors import Conflict, NotFound
from dts_core.model import Namespace, Operation, User
from dts_core.names import new_id
from dts_core.services.admin import AdminWriter
from dts_core.services.counters import Counters
from dts_core.services.directory import NAMESPACES
from dts_core.services.events import EventBus
from dts_core.services.namespaces import Namespaces
from dts_core.services.passwords import Passwords
from dts_core.services.resources import listing
from dts_core.services.resources.listing import Wanted
from dts_core.services.users import LOCAL, USERS, Users
from dts_core.stores.base import Store
from dts_core.testing import START, ManualClock
from tests.support.brokers import RecordingBroker

SECRET = "a secret of eight"


@pytest.fixture
def users(store: Store, clock: ManualClock) -> Users:
    return Users(store, clock, writer(store, clock), Passwords())


@pytest.fixture
def namespaces(store: Store, clock: ManualClock) -> Namespaces:
    return Namespaces(store, clock, writer(store, clock))


def writer(store: Store, clock: ManualClock) -> AdminWriter:
    counters = Counters()
    return AdminWriter(store, clock, EventBus(RecordingBroker(), counters), counters, b"k")


async def keep(store: Store, doc_id: str, **fields: Any) -> None:
    """Store a user as it is, without hashing a secret for each."""
    user = User(id=doc_id, created_at=START, updated_at=START, **fields)
    await write(store, doc_id, USERS.encode(user))


async def write(store: Store, doc_id: str, document: bytes | None) -> None:
    exists = await store.get_document(USERS.name, doc_id) is not None
    if document is None and not exists:
        return
    operation = Operation(
        id=new_id(),
        collection=USERS.name,
        doc_id=doc_id,
        op_type="x",
        operator="x",
        timestamp=START,
    )
    expected = None if exists else 0
    await store.write_document(USERS.name, doc_id, document, operation, expected_revision=expected)


async def ids(users: Users, **wanted: Any) -> list[str]:
    page = await users.find(LOCAL, Wanted(**wanted))
    return [each["_id"] for each in page.items]


async def test_a_document_lives_through_every_write(namespaces: Namespaces) -> None:
    """Created, changed, replaced, removed; a stale revision and what is gone are refused."""
    made = await namespaces.create(LOCAL, {"_id": "team", "description": "d"})
    assert (made.operation, made.revision) == ("create", 1)
    with pytest.raises(Conflict):
        await namespaces.create(LOCAL, {"_id": "team"})
    await namespaces.update(LOCAL, "team", {"members": {"ann": "admin"}, "revision": 1})
    with pytest.raises(Conflict) as stale:
        await namespaces.update(LOCAL, "team", {"description": "e", "revision": 1})
    assert stale.value.told["current"] == dict(await namespaces.get(LOCAL, "team"))
    assert stale.value.told["sent"] == {"description": "e"}
    assert stale.value.told["differ"] == ["description"]
    replaced = await namespaces.replace(LOCAL, "team", {"description": "f"})
    assert (replaced.operation, replaced.revision) == ("replace", 3)
    assert (await namespaces.get(LOCAL, "team"))["members"] == {}
    gone = await namespaces.delete(LOCAL, "team", revision=3)
    assert (gone.operation, gone.revision) == ("delete", 3)
    with pytest.raises(NotFound):
        await namespaces.delete(LOCAL, "team")


async def test_a_dry_run_leaves_the_store_as_it_is(namespaces: Namespaces, store: Store) -> None:
    """No document, no operation, on any store."""
    await namespaces.create(LOCAL, {"_id": "team"})
    before = await store.operations(), await store.find_documents(NAMESPACES.name)
    assert (await namespaces.create(LOCAL, {"_id": "new"}, dry_run=True)).dry_run
    told = await namespaces.update(LOCAL, "team", {"description": "x"}, dry_run=True)
    assert told.changes == {"description": ["", "x"]}
    await namespaces.replace(LOCAL, "team", {}, dry_run=True)
    await namespaces.delete(LOCAL, "team", dry_run=True)
    with pytest.raises(Conflict):
        await namespaces.create(LOCAL, {"_id": "team"}, dry_run=True)
    with pytest.raises(Conflict):
        await namespaces.update(LOCAL, "team", {"revision": 9}, dry_run=True)
    after = await store.operations(), await store.find_documents(NAMESPACES.name)
    assert after == before


async def test_what_a_newer_version_stored_outlives_a_replacement(
    namespaces: Namespaces, store: Store
) -> None:
    """A field that this version does not know is kept, whoever replaces the rest."""
    await namespaces.create(LOCAL, {"_id": "team"})
    stored = await store.get_document(NAMESPACES.name, "team")
    assert stored is not None
    newer = msgspec.msgpack.encode(msgspec.msgpack.decode(stored) | {"colour": "red"})
    operation = Operation(
        id=new_id(),
        collection="namespaces",
        doc_id="team",
        op_type="x",
        operator="x",
        timestamp=START,
    )
    await store.write_document("namespaces", "team", newer, operation, revision=1)
    await namespaces.replace(LOCAL, "team", {"description": "x"})
    kept = msgspec.msgpack.decode(await store.get_document(NAMESPACES.name, "team") or b"")
    assert (kept["colour"], kept["description"]) == ("red", "x")
    assert msgspec.convert(kept, Namespace).id == "team"


@pytest.mark.parametrize(
    "wanted", [Wanted(where={"role": "admin"}, limit=2), Wanted(text="U9", limit=2)]
)
async def test_a_page_looks_at_a_bounded_number_of_documents(
    users: Users, store: Store, monkeypatch: pytest.MonkeyPatch, wanted: Wanted
) -> None:
    """What is rare gives short pages with a next, and is found in the end; in an order by a field too."""
    monkeypatch.setattr(listing, "LOOK", 4)
    monkeypatch.setattr(listing, "CHUNK", 3)
    for at in range(10):
        await keep(store, f"u{at}", role="admin" if at == 9 else "viewer")
    reads: list[int] = []

    def counted(read: Any) -> Any:
        async def wrapper(*args: Any, **options: Any) -> Any:
            found = await read(*args, **options)
            reads.append(len(found))
            return found

        return wrapper

    for name in ("find_documents", "sorted_documents"):
        monkeypatch.setattr(store, name, counted(getattr(store, name)))
    found, cursor, pages = [], "", 0
    while True:
        reads.clear()
        page = await users.find(LOCAL, msgspec.structs.replace(wanted, cursor=cursor))
        assert sum(reads) <= 6
        found += [each["_id"] for each in page.items]
        pages, cursor = pages + 1, page.next
        if not cursor:
            break
    assert (found, pages) == (["u9"], 3)


async def test_a_page_of_an_order_reads_its_own_documents_alone(
    users: Users, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are. Below a prefix that few have, those few are sorted; below another the order is walked."""
    monkeypatch.setattr(listing, "LOOK", 4)
    monkeypatch.setattr(listing, "FEW", 4)
    for at in range(10):
        await keep(store, f"{'ab'[at % 2]}{at}", role=("admin", "operator", "viewer")[at % 3])
    read: list[str] = []
    sorted_documents = store.sorted_documents

    async def seen(*args: Any, **options: Any) -> Any:
        found = await sorted_documents(*args, **options)
        read.extend(doc_id for _, doc_id, _ in found)
        return found

    monkeypatch.setattr(store, "sorted_documents", seen)
    page = await users.find(LOCAL, Wanted(sort="-role", limit=2))
    assert [each["_id"] for each in page.items] == ["b5", "a8"]
    assert read == ["b5", "a8", "a2"]
    page = await users.find(LOCAL, Wanted(sort="-role", limit=2, cursor=page.next))
    assert [each["_id"] for each in page.items] == ["a2", "b7"]
    read.clear()
    few = await users.find(LOCAL, Wanted(sort="-role", prefix="b9", limit=2))
    assert ([each["_id"] for each in few.items], few.next, read) == (["b9"], "", [])
    monkeypatch.setattr(listing, "CHUNK", 3)
    found, cursor = [], ""
    while True:
        read.clear()
        page = await users.find(LOCAL, Wanted(sort="role", prefix="a", limit=2, cursor=cursor))
        assert len(read) <= 6
        found += [each["_id"] for each in page.items]
        if not (cursor := page.next):
            break
    assert found == ["a0", "a6", "a4", "a2", "a8"]


NAMES = st.sampled_from([f"u{at}" for at in range(12)])
ROLES = st.sampled_from(["admin", "operator", "viewer"])
STEPS = st.lists(st.tuples(NAMES, st.booleans(), ROLES), max_size=4)


class Pages:
    """What a person meets who pages on while others write."""

    def __init__(self, users: Users, store: Store) -> None:
        self._users = users
        self._store = store
        self.standing: set[str] = set()
        self.met: list[str] = []

    async def begin(self, kept: Sequence[tuple[str, str]]) -> None:
        for name, role in kept:
            await keep(self._store, name, role=role)
            self.standing.add(name)

    async def disturb(self, steps: Sequence[tuple[str, bool, str]]) -> None:
        """Add and remove; what is touched has not stood the whole time."""
        for name, adds, role in steps:
            self.standing.discard(name)
            if adds:
                await keep(self._store, name, role=role)
            else:
                await write(self._store, name, None)

    async def walk(
        self, wanted: Wanted, between: Sequence[Sequence[tuple[str, bool, str]]]
    ) -> None:
        for steps in [*between, *[[]] * 40]:
            page = await self._users.find(LOCAL, wanted)
            self.met += [each["_id"] for each in page.items]
            if not page.next:
                return
            wanted = msgspec.structs.replace(wanted, cursor=page.next)
            await self.disturb(steps)
        raise AssertionError("the pages have no end")


@given(
    kept=st.dictionaries(NAMES, ROLES, max_size=10),
    between=st.lists(STEPS, max_size=4),
    sort=st.sampled_from(["", "role", "-role", "-id"]),
    role=st.sampled_from(["", "viewer"]),
    limit=st.integers(1, 4),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_what_stands_is_met_exactly_once_while_others_write(
    users: Users, store: Store, is_remote: bool, kept: dict[str, str],
    between: list[list[tuple[str, bool, str]]], sort: str, role: str, limit: int,
) -> None:  # fmt: skip
    """Documents come and go between pages: none that stands is missed or doubled, in any order, with any filter."""
    for doc_id, _ in await store.find_documents(USERS.name):
        await write(store, doc_id, None)
    pages = Pages(users, store)
    await pages.begin(list(kept.items())[: 4 if is_remote else 10])
    where = {"role": role} if role else {}
    expected_roles = dict(list(kept.items())[: 4 if is_remote else 10])
    await pages.walk(Wanted(where=where, sort=sort, limit=limit), between)
    for name in pages.standing:
        matches = not role or expected_roles[name] == role
        assert pages.met.count(name) == int(matches), (name, pages.met)
