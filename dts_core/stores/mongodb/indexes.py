"""Which indexes each collection has; made at start, where they are not there."""

from collections.abc import Sequence
from typing import Any, Final

from dts_core.errors import SchemaMismatch
from dts_core.stores.limits import PARTS_KEPT_SECONDS
from dts_core.stores.mongodb.driver import (
    ASCENDING,
    DESCENDING,
    Database,
    IndexModel,
    OperationFailure,
)
from dts_core.stores.sorting import FIELDS

KEYS_KEPT_SECONDS: Final = 366 * 86_400
"""Idempotency keys go with the jobs of their time; this is for those that retention does not reach."""
_CONFLICTS: Final = (85, 86)


def _index(name: str, *fields: str, **options: Any) -> IndexModel:
    keys = [
        (field.removeprefix("-"), DESCENDING if field.startswith("-") else ASCENDING)
        for field in fields
    ]
    return IndexModel(keys, name=name, **options)


def _some(name: str, field: str, *fields: str) -> IndexModel:
    """Only documents in which the first field is a positive number."""
    return _index(name, field, *fields, partialFilterExpression={field: {"$gt": 0}})


INDEXES: Final[dict[str, Sequence[IndexModel]]] = {
    "jobs": (
        _index("seq", "seq"),
        _index("state", "state", "seq"),
        _index("function", "function", "seq"),
        _index("namespace", "namespace", "seq"),
        _index("host", "host", "seq"),
        _index("submitter", "submitter", "seq"),
        _index("created", "created", "seq"),
        _index("changed", "changed"),
        _some("due", "due"),
        _some("lease", "lease"),
        _some("overdue", "overdue"),
        _some("owed", "owed"),
        _some("finished", "finished"),
    ),
    "chunks": (_index("upload", "upload"), _some("loose", "loose")),
    "keys": (
        _index("created", "created"),
        _index("kept_at", "kept_at", expireAfterSeconds=KEYS_KEPT_SECONDS),
    ),
    "documents": (
        _some("carries", "carries.seq"),
        *(
            _index(
                f"by_{field}",
                "of",
                f"sorted.{field}",
                "_id",
                partialFilterExpression={"of": {"$gt": ""}},
            )
            for field in FIELDS
        ),
    ),
    "operations": (
        _index("seq", "-seq"),
        _index("document", "collection", "doc_id", "-seq"),
    ),
    "samples": (_index("history", "host", "grain", "at"), _index("grain", "grain", "at")),
    "alarms": (
        _index("opened", "open", "-opened"),
        _index("one_open", "host", "rule", unique=True, partialFilterExpression={"open": True}),
    ),
    "logs": (
        _index("job", "job", "_id", partialFilterExpression={"job": {"$gt": ""}}),
        _index("host", "host", "_id"),
        _index("loud", "loud", "_id", partialFilterExpression={"loud": True}),
    ),
    "letters": (_index("seq", "seq"), _index("queue", "queue")),
    "outcomes": (_index("seq", "job", "seq"),),
    "parts": (_index("seen_at", "seen_at", expireAfterSeconds=int(PARTS_KEPT_SECONDS)),),
}


async def ensure(database: Database) -> None:
    """Make what is missing.

    Raises:
        SchemaMismatch: An index of the same name has another meaning: another version's, or made by hand.
    """
    for collection, wanted in INDEXES.items():
        try:
            await database[collection].create_indexes(list(wanted))
        except OperationFailure as error:
            if error.code not in _CONFLICTS:
                raise
            raise SchemaMismatch(
                f"the collection {collection!r} has an index of another shape: {error}",
                advice="Drop that index, it is made again; or use another database.",
            ) from error
