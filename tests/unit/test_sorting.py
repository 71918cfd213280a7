"""Which fields the stores keep an order of: those that the collections declare."""

from typing import Any

import msgspec
import pytest

from dts_core.services.directory import NAMESPACES
from dts_core.services.documents import Collection
from dts_core.services.functions import FUNCTIONS
from dts_core.services.users import USERS
from dts_core.services.vhosts import VHOSTS
from dts_core.stores.sorting import SORTED, comparable, sorted_values
from dts_core.testing import START

COLLECTIONS: list[Collection[Any]] = [USERS, NAMESPACES, FUNCTIONS, VHOSTS]


def example(collection: Collection[Any]) -> Any:
    """A document with nothing but what it must have."""
    kinds = {each.name: each for each in msgspec.structs.fields(collection.kind) if each.required}
    given: dict[str, Any] = {name: START if name.endswith("_at") else "x" for name in kinds}
    return collection.kind(**given)


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda each: each.name)
def test_every_declared_order_is_kept(collection: Collection[Any]) -> None:
    """And no other; of a document from before there was a field, it is the field's default."""
    fields = SORTED[collection.name]
    assert {"id", *fields} == set(collection.sorts)
    document = example(collection)
    found = sorted_values(collection.name, collection.encode(document))
    assert found == {name: comparable(getattr(document, name)) for name in fields}
    defaults = {
        each.name: comparable(each.default)
        for each in msgspec.structs.fields(collection.kind)
        if each.name in fields and not each.required
    }
    assert {name: fields[name] for name in defaults} == defaults


def test_there_are_no_others() -> None:
    """A collection that declares an order has it."""
    assert set(SORTED) == {each.name for each in COLLECTIONS}
